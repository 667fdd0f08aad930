from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.training.comparison import RECIPE, RESULT
from tests.scripts.conftest import Experiment, Outcome, Run

HARD = {
    "attention": {"init_args": {"position": {"class_path": "common.attention.Hard"}}},
    "objectives": [
        {"class_path": "captioning.objectives.CrossEntropy"},
        {"class_path": "captioning.objectives.HardAttentionReinforce"},
    ],
}
SOFT_AND_HARD: dict[str, Any] = {"soft": {"comment": "as it is"}, "hard": {"model": {"init_args": HARD}}}
DIVERGES = {"optimisation": {"learning_rate": 1e30, "schedule": "constant"}}
LONG_ENOUGH = [  # to name things
    "--trainer.max_epochs=2",
    "--trainer.limit_train_batches=8",
    "--model.init_args.optimisation.learning_rate=0.01",
    "--model.init_args.search.longest=12",
]


def compare(run: Run, base: Experiment, tmp_path: Path, kinds: Any, *options: object) -> Outcome:
    (tmp_path / "kinds.yaml").write_text(yaml.safe_dump(kinds, sort_keys=False))
    arguments = ("--config", base.config, "--kinds", tmp_path / "kinds.yaml", "--folder", tmp_path / "all", *options)
    return run("compare", *arguments)


@pytest.mark.slow
def test_kinds_are_trained_scored_and_laid_side_by_side_each_once(
    run: Run, captioner: Experiment, tmp_path: Path
) -> None:
    broken = {"broken": {"model": {"init_args": DIVERGES}}}
    outcome = compare(run, captioner, tmp_path, {**SOFT_AND_HARD, **broken}, "--jobs", 2, *LONG_ENOUGH)
    assert outcome.code == 1, outcome
    assert "broken failed: seed 0: training has diverged" in outcome.out
    folder = tmp_path / "all"
    table = (folder / "table.md").read_text(encoding="utf-8")
    for words in ("CIDEr-D", "named pairs", "training, pictures/s", "**soft**: as it is", "with up to 2 runs at once"):
        assert words in table
    lines = (folder / "table.csv").read_text(encoding="utf-8").splitlines()
    measured = {row["kind"]: row for row in csv.DictReader(lines)}
    assert list(measured)[-1] == "broken"
    for name in ("soft", "hard"):
        for measure in ("CIDEr-D", "training speed", "inference speed", "peak memory, MiB", "parameters"):
            assert float(measured[name][measure]) >= 0
        assert 0 < int(float(measured[name]["parameters of the attention"])) < float(measured[name]["parameters"])
    for suffix in ("png", "pdf", "svg"):
        assert (folder / f"figure.{suffix}").stat().st_size > 1000

    results = [folder / name / "seed0" / RESULT for name in ("soft", "hard")]
    before = [path.stat().st_mtime_ns for path in results]
    outcome = compare(run, captioner, tmp_path, SOFT_AND_HARD, *LONG_ENOUGH)
    assert (outcome.code, [path.stat().st_mtime_ns for path in results]) == (0, before)
    assert "2 of 2 runs are done already" in outcome.out

    fault = compare(run, captioner, tmp_path, SOFT_AND_HARD, "--trainer.max_epochs=1").fault
    assert "kind 'soft'" in fault
    assert "holds a run of another recipe" in fault
    assert [path.stat().st_mtime_ns for path in results] == before


@pytest.mark.slow
def test_one_run_of_a_vqa_model_has_its_measures(run: Run, answerer: Experiment, tmp_path: Path) -> None:
    recipe = yaml.safe_load(answerer.config.read_text())
    folder = tmp_path / "guided" / "seed1"
    folder.mkdir(parents=True)
    (folder / RECIPE).write_text(yaml.safe_dump({**recipe, "folder": str(folder), "seed_everything": 1}))
    assert run("compare", "--run", folder).code == 0
    result = json.loads((folder / RESULT).read_text())
    assert {"accuracy", "pointing", "attention entropy, nats", "training speed"} <= set(result["measures"])
    assert result["recipe"] == {key: value for key, value in recipe.items() if key != "folder"}
    assert (result["jobs"], result["device"]) == (1, "CPU")


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        ({"soft": None, "bad": {"model": {"init_args": {"atention": {}}}}}, "kind 'bad': model.init_args"),
        ({"bad": {"trainer": {"max_epoch": 2}}}, "did you mean 'max_epochs'?"),
        ({"bad": {"model": {"init_args": {"attention": {"class_path": "common.attention.Sofd"}}}}}, "kind 'bad': "),
        ({"bad": {"model": {"init_args": {"encoder_weights": "absent.ckpt"}}}}, "there is no checkpoint absent.ckpt"),
        ({"bad": {"data": {"init_args": {"test": None}}}}, "data.test is not set"),
        ({"bad": {"runs": {}}}, "kind 'bad' cannot set 'runs'"),
        ([], "must hold keys with values"),
    ],
)
def test_a_bad_kind_is_told_before_anything_is_trained(
    run: Run, captioner: Experiment, tmp_path: Path, kinds: Any, words: str
) -> None:
    assert words in compare(run, captioner, tmp_path, kinds).fault
    assert not list((tmp_path / "all").glob("*/*"))


def test_what_is_missing_is_told(run: Run, captioner: Experiment, tmp_path: Path) -> None:
    assert "give --kinds" in run("compare", "--config", captioner.config).fault
    (tmp_path / "kinds.yaml").write_text("soft: null\n")
    assert "give --config with a base" in run("compare", "--kinds", tmp_path / "kinds.yaml").fault
    assert "no kind 'sofd'" in compare(run, captioner, tmp_path, {"soft": None}, "--only", "sofd").fault
    assert "--seeds" in compare(run, captioner, tmp_path, {"soft": None}, "--seeds", "0").fault
