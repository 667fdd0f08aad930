from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.errors import ConfigError, DataError
from common.explain.comparison import Estimate
from common.training.comparison import (
    RECIPE,
    RESULT,
    Kind,
    Result,
    Run,
    difference,
    read_kinds,
    read_recipe,
    rehearse,
    rows_of,
    runs_of,
)
from tests.common.training.test_cli import CONFIG, STAND_INS

BASE: dict[str, Any] = {
    "folder": "runs/base",
    "seed_everything": 7,
    "model": {"class_path": "a.B", "init_args": {"attention": {"class_path": "a.Soft", "init_args": {"width": 3}}}},
    "trainer": {"max_epochs": 2},
}


def kinds_of(tmp_path: Path, kinds: Any, *only: str) -> list[Kind]:
    (tmp_path / "kinds.yaml").write_text(yaml.safe_dump(kinds, sort_keys=False))
    return read_kinds(tmp_path / "kinds.yaml", BASE, only)


def attention(**settings: Any) -> dict[str, Any]:
    return {"model": {"init_args": {"attention": settings}}}


def done(run: Run, recipe: Any = None, **measures: float) -> None:
    """As if the run had come to its end."""
    run.prepare()
    Result(recipe or run.kind.recipe, measures, 1.5, "CPU", 1, 1).write(run.folder / RESULT)


def test_a_kind_is_the_base_with_its_own_settings_and_another_class_begins_afresh(tmp_path: Path) -> None:
    changes = {"as it is": None, "wide": attention(init_args={"width": 5}), "hard": attention(class_path="a.Hard")}
    same, wide, hard = kinds_of(tmp_path, changes)
    assert same.recipe == {"model": BASE["model"], "trainer": BASE["trainer"]}
    assert wide.recipe["model"]["init_args"]["attention"] == {"class_path": "a.Soft", "init_args": {"width": 5}}
    assert hard.recipe["model"]["init_args"]["attention"] == {"class_path": "a.Hard"}
    assert hard.recipe["trainer"] == BASE["trainer"]


def test_a_comment_is_no_setting(tmp_path: Path) -> None:
    (kind,) = kinds_of(tmp_path, {"soft": {"comment": "as it is"}})
    assert (kind.comment, "comment" in kind.recipe) == ("as it is", False)


def test_only_some_kinds_in_the_order_of_the_file(tmp_path: Path) -> None:
    assert [kind.name for kind in kinds_of(tmp_path, {"a": None, "b": None, "c": None}, "c", "a")] == ["a", "c"]


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"soft": {"modle": {}}}, "kind 'soft' cannot set 'modle'; did you mean 'model'?"),
        ({"soft": {"folder": "x"}}, "kind 'soft' cannot set 'folder'"),
        ({"soft": "hard"}, "kind 'soft' must hold settings that differ from the base, not 'hard'"),
        ({"a/b": None, "a b": None}, "the kinds 'a/b' and 'a b' would share a folder"),
        ({"..": None}, "'..' has no letter or number"),
    ],
)
def test_kinds_that_cannot_be_are_told_in_one_line(tmp_path: Path, kinds: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        kinds_of(tmp_path, kinds)


def test_a_kind_that_is_not_in_the_file_has_a_near_one_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no kind 'sofd'; did you mean 'soft'"):
        kinds_of(tmp_path, {"soft": None}, "sofd")


def test_each_seed_of_each_kind_has_a_folder_and_all_kinds_have_the_first_seed_first(tmp_path: Path) -> None:
    runs = runs_of(kinds_of(tmp_path, {"scaled dot / 8": None, "hard": None}), 2, Path("x"))
    assert [str(run.folder) for run in runs] == [
        "x/scaled-dot-8/seed0",
        "x/hard/seed0",
        "x/scaled-dot-8/seed1",
        "x/hard/seed1",
    ]


def test_a_run_is_prepared_with_its_recipe_seed_and_folder(tmp_path: Path) -> None:
    run = Run(kinds_of(tmp_path, {"soft": None})[0], 3, tmp_path / "soft" / "seed3")
    run.prepare()
    written = yaml.safe_load((run.folder / RECIPE).read_text())
    assert written == {**run.kind.recipe, "seed_everything": 3, "folder": str(run.folder)}
    assert read_recipe(run.folder) == run.kind.recipe


def test_a_run_that_was_cut_is_begun_anew_and_a_done_one_has_a_result(tmp_path: Path) -> None:
    (run,) = runs_of(kinds_of(tmp_path, {"soft": None}), 1, tmp_path)
    run.prepare()
    (run.folder / "last.ckpt").write_text("half way")
    assert run.result() is None
    run.prepare()
    assert [path.name for path in run.folder.iterdir()] == [RECIPE]
    done(run, quality=3.0)
    result = run.result()
    assert result is not None
    assert result.measures == {"quality": 3.0}


def test_what_no_run_has_written_is_not_deleted(tmp_path: Path) -> None:
    (run,) = runs_of(kinds_of(tmp_path, {"soft": None}), 1, tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / "thesis.tex").write_text("mine")
    with pytest.raises(DataError, match="is in the way of a run"):
        run.prepare()
    assert (run.folder / "thesis.tex").exists()


def test_another_recipe_under_the_same_name_is_noticed_and_its_change_told(tmp_path: Path) -> None:
    (before,) = runs_of(kinds_of(tmp_path, {"soft": None}), 1, tmp_path)
    done(before)
    (after,) = runs_of(kinds_of(tmp_path, {"soft": attention(init_args={"width": 5})}), 1, tmp_path)
    with pytest.raises(ConfigError) as error:
        after.result()
    assert str(error.value) == (
        f"kind 'soft': {after.folder} holds a run of another recipe (model.init_args.attention.init_args.width was 3 "
        "and is 5): delete it, or give another --folder"
    )


def test_a_comment_or_another_name_of_the_base_s_folder_is_no_other_recipe(tmp_path: Path) -> None:
    (before,) = runs_of(kinds_of(tmp_path, {"soft": None}), 1, tmp_path)
    done(before)
    (after,) = runs_of(kinds_of(tmp_path, {"soft": {"comment": "as it is"}}), 1, tmp_path)
    assert after.result() is not None


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 3]}}, "a.b was [1, 2] and is [1, 3]"),
        ({"a": {"b": 1}}, {"a": {}}, "a.b was 1 and is not set now"),
        ({}, {"a": None}, "a was not set and is null"),
        ({"a": "x" * 99}, {"a": 1}, f'a was "{"x" * 59}... and is 1'),
    ],
)
def test_the_first_difference_of_two_recipes_in_words(before: Any, after: Any, words: str | None) -> None:
    assert difference(before, after) == words


def test_a_result_of_something_else_is_one_line(tmp_path: Path) -> None:
    for text in ("{", json.dumps({"scores": 3}), "[]"):
        (tmp_path / RESULT).write_text(text)
        with pytest.raises(DataError, match="is not the result of a run"):
            Result.read(tmp_path / RESULT)


def test_rows_have_means_over_the_seeds_that_came_to_an_end_and_why_others_did_not(tmp_path: Path) -> None:
    kinds = kinds_of(tmp_path, {"soft": None, "hard": None})
    runs = runs_of(kinds, 2, tmp_path)
    done(runs[0], quality=3.0, extra=1.0)  # soft, seed 0
    done(runs[2], quality=5.0)
    done(runs[1], quality=1.0)  # hard, seed 0
    soft, hard = rows_of(kinds, runs, {runs[3].folder: "it diverged"})
    assert (soft.seeds, soft.fault, list(soft.estimates)) == (2, None, ["quality"])
    assert soft.estimates["quality"].mean == 4
    assert soft.estimates["quality"].margin == pytest.approx(12.7062, abs=1e-4)
    assert (hard.seeds, hard.fault, hard.estimates) == (1, "seed 1: it diverged", {"quality": Estimate(1.0)})


def experiment(**changes: Any) -> Kind:
    return Kind("soft", json.loads(json.dumps({**CONFIG, **changes})))


def test_a_rehearsal_puts_all_together_and_writes_nothing(tmp_path: Path) -> None:
    rehearsal = rehearse(experiment(), tmp_path / "run")
    assert type(rehearsal.model).__name__ == "Adder"
    assert rehearsal.trainer.max_epochs == 2
    assert not list(tmp_path.iterdir())


def test_a_rehearsal_tells_which_kind_is_wrong_and_how(tmp_path: Path) -> None:
    model = {"class_path": f"{STAND_INS}.Adder", "init_args": {"layer": {"class_path": "torch.nn.Linea"}}}
    with pytest.raises(ConfigError, match=r"^kind 'soft': class_path 'torch.nn.Linea' must name .* mean 'Linear'"):
        rehearse(experiment(model=model), tmp_path)
    with pytest.raises(ConfigError, match=r"^kind 'soft': .*'max_epoch'; did you mean 'max_epochs'"):
        rehearse(experiment(trainer={"max_epoch": 2}), tmp_path)
