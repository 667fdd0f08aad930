"""Models trained for a few steps on tiny scenes, and the scripts run on them in this process."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from PIL import Image

from common.training.cli import TrainingCLI
from tests.captioning import recipes as captioning
from tests.vqa import recipes as vqa

SCRIPTS = Path(__file__).parents[2] / "scripts"
TRAINER = {
    "max_epochs": 1,
    "limit_train_batches": 2,
    "logger": False,
    "accelerator": "cpu",
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


class Outcome(NamedTuple):
    """What a script left behind."""

    code: int
    out: str
    err: str

    @property
    def fault(self) -> str:
        """The one line that it ended with, on stderr."""
        (line,) = self.err.splitlines()
        assert (self.code, line[:7]) == (2, "error: "), self
        return line[7:]


Run = Callable[..., Outcome]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a script of this name with these arguments."""

    def run(script: str, *arguments: object) -> Outcome:
        path = str(SCRIPTS / f"{script}.py")
        monkeypatch.setattr(sys, "argv", [path, *map(str, arguments)])
        capsys.readouterr()
        try:
            runpy.run_path(path, run_name="__main__")
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
        return Outcome(code, *capsys.readouterr())

    return run


class Experiment(NamedTuple):
    """A config file and the checkpoint that was trained by it."""

    config: Path
    checkpoint: Path


def _experiment(folder: Path, model: dict[str, Any], data: dict[str, Any]) -> Experiment:
    config = folder / "config.yaml"
    folder.mkdir()
    config.write_text(yaml.safe_dump({"folder": str(folder / "run"), "model": model, "data": data, "trainer": TRAINER}))
    TrainingCLI(["fit", "--config", str(config)])
    return Experiment(config, folder / "run" / "last.ckpt")


def _data(kind: str, source: str, scenes: str, **settings: Any) -> dict[str, Any]:
    sources = {
        split: {
            "class_path": f"common.data.scenes.{source}",
            "init_args": {"level": "tiny", "split": split, "folder": scenes},
        }
        for split in ("train", "val", "test")
    }
    return {"class_path": kind, "init_args": {**sources, "loading": {"batch_size": 8}, **settings}}


def _captioner(folder: Path, scenes: str, encoder: Any) -> Experiment:
    arguments = {
        "encoder": encoder,
        "decoder": captioning.DECODER,
        "attention": captioning.SOFT,
        "objectives": [captioning.CROSS_ENTROPY],
        "search": {"beam": 2, "longest": 5},
    }
    model = {"class_path": "captioning.module.CaptioningModule", "init_args": arguments}
    return _experiment(folder, model, _data("captioning.data.CaptioningData", "SceneCaptions", scenes, minimum_count=1))


@pytest.fixture(scope="session")
def captioner(tmp_path_factory: pytest.TempPathFactory, scenes: str) -> Experiment:
    return _captioner(tmp_path_factory.mktemp("captioner") / "grid", scenes, captioning.GRID)


@pytest.fixture(scope="session")
def captioner_of_boxes(tmp_path_factory: pytest.TempPathFactory, scenes: str) -> Experiment:
    return _captioner(tmp_path_factory.mktemp("captioner") / "boxes", scenes, captioning.BOXES)


@pytest.fixture(scope="session")
def answerer(tmp_path_factory: pytest.TempPathFactory, scenes: str) -> Experiment:
    arguments = {
        "encoder": vqa.GRID,
        "text": vqa.LEVELS,
        "model": vqa.JOINED,
        "co_attention": vqa.PARALLEL,
        "objective": vqa.SOFT_LABELS,
    }
    model = {"class_path": "vqa.module.VQAModule", "init_args": arguments}
    folder = tmp_path_factory.mktemp("answerer") / "grid"
    return _experiment(folder, model, _data("vqa.data.VQAData", "SceneQuestions", scenes))


@pytest.fixture(scope="session")
def fact_reader(tmp_path_factory: pytest.TempPathFactory, scenes: str) -> Experiment:
    init_args = {
        "facts": {"class_path": "common.encoders.FactEncoder", "init_args": {"dim": 24}},
        "attention": {"class_path": "common.attention.EndToEndMemory", "init_args": {"hops": 2}},
    }
    arguments = {
        "encoder": vqa.GRID,
        "text": vqa.LEVELS,
        "model": {"class_path": "vqa.models.FactMemory", "init_args": init_args},
        "objective": vqa.SOFT_LABELS,
    }
    model = {"class_path": "vqa.module.VQAModule", "init_args": arguments}
    folder = tmp_path_factory.mktemp("fact_reader") / "grid"
    return _experiment(folder, model, _data("vqa.data.VQAData", "SceneQuestions", scenes))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A picture of one's own."""
    path = tmp_path / "photo.png"
    Image.new("RGB", (60, 40), "orange").save(path)
    return path
