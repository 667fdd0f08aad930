from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningDataModule, Trainer

from common.errors import ConfigError
from common.training.composition import check_names, compose, merge, read_config
from common.training.task import TaskModule


def write(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_files_and_options_are_put_together_from_left_to_right(tmp_path: Path) -> None:
    base = write(tmp_path, "base.yaml", "trainer: {max_epochs: 3, precision: 32}\nfolder: runs/a")
    quick = write(tmp_path, "quick.yaml", "trainer:\n  max_epochs: 1")
    composed = compose(["--config", base, "--folder", "runs/b", f"--config={quick}", "--trainer.precision=16-mixed"])
    assert composed == {"trainer": {"max_epochs": 1, "precision": "16-mixed"}, "folder": "runs/b"}


def test_options_reach_into_parts_within_parts() -> None:
    options = ["--model.class_path", "a.B", "--model.init_args.part.init_args.size", "7"]
    assert compose(options) == {"model": {"class_path": "a.B", "init_args": {"part": {"init_args": {"size": 7}}}}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("-2.5E+4", -25000.0),
        ("3", 3),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ("true", True),
        ("1e", "1e"),
    ],
)
def test_values_are_read_as_yaml_with_all_ways_to_write_a_number(text: str, value: Any) -> None:
    assert compose([f"--x={text}"]) == {"x": value}


def test_another_class_starts_afresh_and_the_same_class_is_added_to() -> None:
    base = {"class_path": "a.Soft", "init_args": {"size": 3, "sharp": True}}
    assert merge(base, {"class_path": "a.Hard", "init_args": {"size": 4}}) == {
        "class_path": "a.Hard",
        "init_args": {"size": 4},
    }
    expected = {"class_path": "a.Soft", "init_args": {"size": 4, "sharp": True}}
    assert merge(base, {"init_args": {"size": 4}}) == expected
    assert merge(base, {"class_path": "a.Soft", "init_args": {"size": 4}}) == expected
    assert base["init_args"] == {"size": 3, "sharp": True}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["fast"], "'fast' is not an option; options are written as --key value"),
        (["--"], "'--' is not an option"),
        (["--folder"], "--folder needs a value"),
        (["--config", "no/such.yaml"], "config no/such.yaml cannot be read: No such file or directory"),
        (["--trainer", "{a: "], "--trainer is not YAML, line 1"),
    ],
)
def test_options_that_cannot_be_read(options: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        compose(options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"- a\n- b", "must hold keys with values"), (b"a: [1", "is not YAML, line"), (b"\xff\xfe\x00", "not")],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "bad.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.yaml") as caught:
        read_config(tmp_path / "bad.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


ADDER = {"class_path": "tests.common.training.stand_ins.Adder", "init_args": {"optimisation": {"learning_rate": 1}}}
OPTIONS = ("model", "data", "trainer", "folder")
CLASSES = {"model": TaskModule, "data": LightningDataModule, "trainer": Trainer}


def test_known_names_pass() -> None:
    from tests.common.training import stand_ins  # noqa: F401  (makes the class known)

    check_names({"model": ADDER, "trainer": {"max_epochs": 1}, "folder": "x"}, OPTIONS, CLASSES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"foldr": "x"}, "there is no setting 'foldr'; did you mean 'folder'?"),
        ({"trainer": {"max_epoch": 3}}, "trainer: Trainer has no setting 'max_epoch'; did you mean 'max_epochs'?"),
        (
            {"model": {"init_args": {"dropuot": 0.1}}},
            "model.init_args: Adder has no setting 'dropuot'; did you mean 'dropout'?",
        ),
        (
            {"model": {"init_args": {"optimisation": {"warmup": 1}}}},
            "model.init_args.optimisation: Optimisation has no setting 'warmup'; did you mean 'warmup_steps'?",
        ),
        ({"model": {"init_arg": {}}}, "unknown key 'init_arg'; did you mean 'init_args'?"),
        ({"model": {"class_path": "os.system"}}, "'os.system' must name a kind of TaskModule, but it is none"),
        ({"data": {"class_path": "common.data.modul.X"}}, "there is no module 'common.data.modul'"),
    ],
)
def test_a_wrong_name_is_told_with_the_nearest_right_one(change: dict[str, Any], message: str) -> None:
    from tests.common.training import stand_ins  # noqa: F401

    with pytest.raises(ConfigError) as caught:
        check_names(merge({"model": ADDER}, change), OPTIONS, CLASSES)
    assert message in str(caught.value)
