"""What goes on around training: checkpoints, seeds, the progress bar, examples to look at, the settings on record."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import wandb
import yaml
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import WandbLogger
from PIL import Image

from common.data.epochs import epoch_seed
from common.files import replacing
from common.training.task import ShownExample, TaskModule


def best_and_last(folder: Path, metric: str) -> list[Callback]:
    """Keep `best.ckpt`, by `metric`, and `last.ckpt`; written at the end of an epoch, from where resuming is exact.

    The order matters: the last checkpoint must know what the best is. (One `ModelCheckpoint` with `save_last` would
    write the last only when it writes a new best.)
    """
    return [
        ModelCheckpoint(
            dirpath=folder,
            filename=name,
            monitor=monitor,
            mode="max",
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )
        for name, monitor in (("best", metric), ("last", None))
    ]


class EpochSeeds(Callback):
    """Seeds all generators anew at the start of each epoch, so that a resumed run draws what an unbroken one would."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Seed Python's, NumPy's and PyTorch's generators; each process of several draws its own."""
        seed = epoch_seed(self.seed, trainer.current_epoch * trainer.world_size + trainer.global_rank)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002  (the one that libraries draw from)
        torch.manual_seed(seed)


class Progress(TQDMProgressBar):
    """A bar with the loss and the metric that matters."""

    def __init__(self, metric: str, refresh_rate: int = 10) -> None:
        super().__init__(refresh_rate=refresh_rate)
        self.metric = metric

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Those two, as far as they are known, by short names."""
        known = {"loss": "train/loss", self.metric.split("/")[-1]: self.metric}
        values = trainer.callback_metrics
        return {short: f"{values[name]:.4g}" for short, name in known.items() if name in values}


class ExampleTable(Callback):
    """Logs a table of the same held-out examples at each validation: picture, prediction, truth, attention."""

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the table to Weights & Biases, where that is the logger."""
        logger = trainer.logger
        if trainer.sanity_checking or not trainer.is_global_zero or not isinstance(logger, WandbLogger):
            return
        examples = pl_module.show_examples(trainer.datamodule) if isinstance(pl_module, TaskModule) else []  # type: ignore[attr-defined]
        if examples:
            rows = [_row(example) for example in examples]
            table = wandb.Table(columns=["image", "prediction", "score", "truth", "attention"], data=rows)
            sheets = on_one_size([example.figure for example in examples])
            figures = [
                wandb.Image(sheet, caption=example.prediction.text)
                for sheet, example in zip(sheets, examples, strict=True)
            ]
            logger.experiment.log({"examples": table, "attention": figures, "trainer/global_step": trainer.global_step})


def _row(example: ShownExample) -> list[Any]:
    prediction = example.prediction
    return [wandb.Image(example.image), prediction.text, prediction.score, example.truth, wandb.Image(example.figure)]


def on_one_size(figures: Sequence[Image.Image]) -> list[Image.Image]:
    """The figures at the top left of white sheets of one size; Weights & Biases stretches all to the first one's."""
    size = (max(figure.width for figure in figures), max(figure.height for figure in figures))
    sheets = []
    for figure in figures:
        sheet = Image.new("RGB", size, "white")
        sheet.paste(figure)
        sheets.append(sheet)
    return sheets


class RecordConfig(Callback):
    """Writes the settings of the run as `config.yaml` into its folder and into Weights & Biases."""

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        self.config = config

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write them before anything is trained.

        Raises:
            DataError: the folder cannot be written to.
        """
        if not trainer.is_global_zero:
            return
        with replacing(self.folder / "config.yaml") as draft:
            draft.write_text(yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True), encoding="utf-8")
        if isinstance(trainer.logger, WandbLogger):
            trainer.logger.experiment.config.update(self.config, allow_val_change=True)
