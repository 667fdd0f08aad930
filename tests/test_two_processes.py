"""Training and validation by two processes of one machine, as `--trainer.devices 2 --trainer.strategy ddp` has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import LightningDataModule, Trainer

from common.data.module import Loading
from common.training.callbacks import EpochSeeds, best_and_last
from common.training.task import TaskModule
from tests.captioning import recipes as captioning
from tests.vqa import recipes as vqa

BATCH = 5  # that neither divides the pictures nor gives two processes as many batches


def captioner(scenes: str) -> tuple[TaskModule, LightningDataModule]:
    data = captioning.data(scenes, loading=Loading(BATCH, in_memory=True))
    return captioning.module(data.vocabulary), data


def answerer(scenes: str) -> tuple[TaskModule, LightningDataModule]:
    data = vqa.data(scenes, loading=Loading(BATCH, in_memory=True))
    return vqa.module(data), data


def trainer(folder: Path, metric: str, **settings: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[EpochSeeds(0), *best_and_last(folder, metric)],
        num_sanity_val_steps=0,
        max_epochs=1,
        limit_train_batches=2,
        **settings,
    )


@pytest.mark.filterwarnings("ignore:.*sync_dist=True", "ignore:.*multi-threaded", "ignore:.*Grad strides")
@pytest.mark.parametrize("task", [captioner, answerer])
def test_two_processes_train_and_score_as_one_does_to_the_last_digit(
    scenes: str, tmp_path: Path, task: Callable[[str], tuple[TaskModule, LightningDataModule]]
) -> None:
    module, data = task(scenes)
    both = trainer(tmp_path, module.metric, devices=2, strategy="ddp_fork")
    both.fit(module, datamodule=data)
    shared = {name: float(value) for name, value in both.callback_metrics.items() if name.startswith("val/")}
    (alone,) = trainer(tmp_path / "alone", module.metric, devices=1).validate(module, data, verbose=False)
    assert module.metric in shared
    assert shared == alone
