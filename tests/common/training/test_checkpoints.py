from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn

from common.errors import CheckpointError, DataError
from common.training.checkpoints import WholeFileIO, load_module, read_checkpoint, start_from
from common.training.optimisation import Optimisation
from common.training.parts import Part, build
from common.training.task import ShownExample, TaskModule


class Singer(TaskModule):
    task, script, metric = "singing", "scripts/sing.py", "val/applause"
    networks = ("voice",)

    def __init__(
        self,
        voice: Part,
        words: list[str],
        optimisation: Optimisation = Optimisation(),
        encoder_weights: str | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        assert encoder_weights != "gone.pth", "pretrained weights were read again"
        self.voice = build(voice, nn.Linear, in_features=len(words))
        self.words, self.optimisation = words, optimisation

    def show_examples(self, data: object) -> list[ShownExample]:
        return []


class Dancer(Singer):
    task, script = "dancing", "scripts/dance.py"


VOICE: Part = {"class_path": "torch.nn.Linear", "init_args": {"out_features": 2}}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint as the trainer writes it."""
    module = Singer(VOICE, ["la", "lo", "li"], Optimisation(0.5))
    module.hparams["encoder_weights"] = "gone.pth"
    trainer = Trainer(logger=False, accelerator="cpu", enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "best.ckpt")
    return tmp_path / "best.ckpt"


def changed(checkpoint: Path, **changes: Any) -> Path:
    content = torch.load(checkpoint, weights_only=True)
    for path, value in changes.items():
        *way, last = path.split("__")
        inner = content
        for key in way:
            inner = inner[key]
        inner[last] = value
    torch.save(content, checkpoint)
    return checkpoint


def test_a_module_comes_back_from_its_checkpoint_alone_ready_to_predict(checkpoint: Path) -> None:
    module = load_module(checkpoint, Singer)
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert module.words == ["la", "lo", "li"]
    assert module.optimisation == Optimisation(0.5)
    assert not module.training
    torch.testing.assert_close(dict(module.state_dict()), saved)


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_module(path, Singer)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.ckpt").startswith("there is no checkpoint")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_a_file_cut_short(checkpoint: Path, share: float) -> None:
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(share * len(whole))])
    assert "is cut short" in refusal(checkpoint)


def test_damage_in_the_middle(checkpoint: Path) -> None:
    whole = bytearray(checkpoint.read_bytes())
    start = whole.find(b"data.pkl") + 100
    whole[start : start + 200] = bytes(200)
    checkpoint.write_bytes(whole)
    assert any(word in refusal(checkpoint) for word in ("damaged", "refused"))


@pytest.mark.parametrize("content", [b"", b"PK", b"a picture perhaps" * 50, pickle.dumps({"state_dict": {}})])
def test_a_file_of_another_kind(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    assert refusal(file).endswith("is not a checkpoint")


def test_weights_of_another_program(tmp_path: Path) -> None:
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    assert refusal(tmp_path / "other.ckpt").endswith("is not a checkpoint of Saccade")


class Burglar:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.trace),)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": {}, "saccade": {}, "x": Burglar(tmp_path / "trace")}, tmp_path / "bad.ckpt")
    assert "is refused: it holds more than tensors and plain values" in refusal(tmp_path / "bad.ckpt")
    assert not (tmp_path / "trace").exists()


def test_a_class_path_in_a_checkpoint_cannot_reach_beyond_the_parts(checkpoint: Path, tmp_path: Path) -> None:
    theft = {"class_path": "os.mkdir", "init_args": {"path": str(tmp_path / "trace")}}
    assert "'os.mkdir' must name a kind of Linear" in refusal(changed(checkpoint, hyper_parameters__voice=theft))
    assert not (tmp_path / "trace").exists()


def test_a_checkpoint_of_the_other_task_says_where_it_belongs(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match=r"is a checkpoint for singing, not for dancing: use scripts/sing.py"):
        load_module(checkpoint, Dancer)


def test_another_format(checkpoint: Path) -> None:
    path = changed(checkpoint, saccade__format=99, saccade__version="9.0")
    assert "was written by Saccade 9.0, whose format 0.1.0 cannot read" in refusal(path)


def test_a_setting_that_this_version_does_not_have(checkpoint: Path) -> None:
    path = changed(checkpoint, hyper_parameters__volume=11, saccade__version="0.0.9")
    message = refusal(path)
    assert "does not fit (written by Saccade 0.0.9, this is 0.1.0)" in message
    assert "'volume'" in message


@pytest.mark.parametrize(
    "change",
    [
        {"hyper_parameters__words": 3},
        {"hyper_parameters__optimisation": {"learning_rate": "fast"}},
        {"hyper_parameters__optimisation": 3},
        {"hyper_parameters__voice": {"class_path": "torch.nn.Linear", "init_args": {"out_features": -2}}},
        {"hyper_parameters__voice": {"class_path": "torch.nn.Linear", "init_args": {"out_features": 10**18}}},
        {"state_dict__voice._extra_state": 3},
    ],
)
def test_settings_that_no_one_would_have_written(checkpoint: Path, change: dict[str, Any]) -> None:
    assert "does not fit: " in refusal(changed(checkpoint, **change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hyper_parameters__words": ["la"]}, "'voice.weight' is (2, 3) in the file and (2, 1) in the model"),
        ({"state_dict__voice.tremolo": torch.zeros(1)}, "it has 'voice.tremolo', which the model has not"),
        ({"state_dict": {}}, "it lacks 'voice.weight'"),
    ],
)
def test_the_first_weight_that_does_not_fit_is_named(checkpoint: Path, change: dict[str, Any], message: str) -> None:
    assert message in refusal(changed(checkpoint, **change))


@pytest.mark.parametrize(
    ("theirs", "ours", "difference"),
    [
        (["la", "lo"], ["la", "li"], "number 1 is 'lo' there and 'li' here"),
        (["la", "lo"], ["la", "lo", "li"], "2 there and 3 here"),
        (None, ["la"], "one has none"),
    ],
)
def test_weights_that_mean_other_words_are_no_beginning(
    checkpoint: Path, theirs: Any, ours: Any, difference: str
) -> None:
    module = Singer(VOICE, ["la", "lo", "li"])
    start_from(checkpoint, read_checkpoint(checkpoint), module)
    module.hparams["vocabulary"] = ours
    path = changed(checkpoint, hyper_parameters__vocabulary=theirs)
    with pytest.raises(CheckpointError) as caught:
        start_from(path, read_checkpoint(path), module)
    assert str(caught.value) == f"{path} has another vocabulary: {difference}; give the data it learned from"


def test_another_tasks_weights_are_no_beginning(checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="is a checkpoint for singing, not for dancing"):
        start_from(checkpoint, read_checkpoint(checkpoint), Dancer(VOICE, ["la", "lo", "li"]))


def test_a_full_disk_leaves_the_earlier_checkpoint_whole(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    WholeFileIO().save_checkpoint({"saccade": {}, "state_dict": {}, "epoch": 1}, path)
    Path(tmp_path / f".last.ckpt.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"cannot write .*last\.ckpt: No space left on device; ") as caught:
        WholeFileIO().save_checkpoint({"saccade": {}, "state_dict": {"w": torch.zeros(10**6)}}, path)
    assert "\n" not in str(caught.value)
    assert read_checkpoint(path)["epoch"] == 1
    assert [file.name for file in tmp_path.iterdir()] == ["last.ckpt"]


def test_a_kill_while_writing_leaves_the_earlier_checkpoint_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    WholeFileIO().save_checkpoint({"saccade": {}, "state_dict": {}, "epoch": 1}, path)

    def die(content: Any, file: Any) -> None:
        file.write(b"PK half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", die)
    with pytest.raises(KeyboardInterrupt):
        WholeFileIO().save_checkpoint({"saccade": {}, "state_dict": {}, "epoch": 2}, path)
    assert read_checkpoint(path)["epoch"] == 1
