from __future__ import annotations

import random
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
import yaml
from lightning.pytorch import Trainer
from PIL import Image

from common.training.callbacks import EpochSeeds, ExampleTable, Progress, RecordConfig, best_and_last, on_one_size
from tests.common.training.stand_ins import Adder, Numbers


def at(**what: Any) -> Trainer:
    """As much of a trainer as the callbacks look at."""
    usual = {"is_global_zero": True, "sanity_checking": False, "logger": None}
    trainer: Trainer = Mock(spec=Trainer, **{**usual, **what})
    return trainer


def drawn() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), torch.rand(1).item()  # noqa: NPY002


@pytest.fixture
def adder() -> Adder:
    layer: Any = {"class_path": "torch.nn.Linear", "init_args": {"out_features": 1}}
    return Adder(layer, ["a", "b", "c"])


def test_draws_depend_on_run_epoch_and_process_only(adder: Adder) -> None:
    def draws(seed: int, epoch: int, rank: int) -> tuple[float, float, float]:
        EpochSeeds(seed).on_train_epoch_start(at(current_epoch=epoch, world_size=2, global_rank=rank), adder)
        return drawn()

    first = draws(0, 1, 0)
    drawn()
    assert draws(0, 1, 0) == first
    others = [draws(1, 1, 0), draws(0, 2, 0), draws(0, 1, 1)]
    assert all(a != b for other in others for a, b in zip(first, other, strict=True))


def test_the_bar_shows_the_loss_and_the_metric_that_matters_by_short_names(adder: Adder) -> None:
    bar = Progress("val/CIDEr-D")
    values = {"train/loss": torch.tensor(1.23456), "val/CIDEr-D": torch.tensor(97.0), "val/BLEU-4": torch.tensor(3.0)}
    assert bar.get_metrics(at(callback_metrics=values), adder) == {"loss": "1.235", "CIDEr-D": "97"}
    assert bar.get_metrics(at(callback_metrics={}), adder) == {}


def test_no_examples_are_drawn_while_sanity_checking_or_without_anyone_to_show_them_to(adder: Adder) -> None:
    def fail(data: object) -> None:
        raise AssertionError("examples were drawn")

    adder.show_examples = fail  # type: ignore[assignment, method-assign]
    for moment in (at(sanity_checking=True), at(is_global_zero=False), at(logger=None)):
        ExampleTable().on_validation_epoch_end(moment, adder)


def test_the_best_checkpoint_is_that_of_the_highest_metric_and_the_last_that_of_the_end(tmp_path: Path) -> None:
    class Scripted(Adder):
        def validation_step(self, numbers: torch.Tensor, index: int) -> None:
            self.log("val/closeness", [0.1, 0.9, 0.5][self.current_epoch])

    layer: Any = {"class_path": "torch.nn.Linear", "init_args": {"out_features": 1}}
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=best_and_last(tmp_path, "val/closeness"),
    )
    trainer.fit(Scripted(layer, ["a", "b", "c"]), datamodule=Numbers())
    epochs = {path.name: torch.load(path, weights_only=True)["epoch"] for path in tmp_path.iterdir()}
    assert epochs == {"best.ckpt": 1, "last.ckpt": 2}


def test_settings_are_written_before_training(tmp_path: Path, adder: Adder) -> None:
    settings = {"model": {"class_path": "a.B"}, "folder": "Köln"}
    RecordConfig(tmp_path / "run", settings).setup(at(), adder, "fit")
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")) == settings


def test_figures_of_several_sizes_are_brought_to_one_without_being_stretched() -> None:
    wide, tall = Image.new("RGB", (3, 1), "red"), Image.new("RGB", (1, 2), "blue")
    first, second = on_one_size([wide, tall])
    assert first.size == second.size == (3, 2)
    assert [first.getpixel(at) for at in ((2, 0), (2, 1))] == [(255, 0, 0), (255, 255, 255)]
    assert [second.getpixel(at) for at in ((0, 1), (1, 1))] == [(0, 0, 255), (255, 255, 255)]
