"""A task as small as they come, for tests of the training loop. It is imported by subprocesses, too."""

from __future__ import annotations

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader

from common.data.epochs import EpochLoader, EpochShuffle
from common.data.records import Prediction
from common.training.optimisation import Optimisation, configure
from common.training.parts import Part, build
from common.training.task import ShownExample, TaskModule


class Adder(TaskModule):
    """Learns to add up numbers, with dropout so that the random draws matter."""

    task, script, metric = "adding", "scripts/add.py", "val/closeness"
    networks = ("layer",)

    def __init__(
        self,
        layer: Part,
        vocabulary: list[str],
        dropout: float = 0.5,
        optimisation: Optimisation = Optimisation(0.05, warmup_steps=2),
    ) -> None:
        super().__init__()
        self.save_hyperparameters(logger=False)
        self.layer = build(layer, nn.Linear, in_features=len(vocabulary))
        self.dropout = nn.Dropout(dropout)
        self.optimisation = optimisation
        self.losses: list[float] = []

    def setup(self, stage: str) -> None:
        """It has no encoder, and its data need not know it."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        return configure(self, self.optimisation)

    def _loss(self, numbers: Tensor) -> Tensor:
        return (self.layer(self.dropout(numbers)).squeeze(-1) - numbers.sum(-1)).square().mean()

    def training_step(self, numbers: Tensor, index: int) -> Tensor:
        loss = self._loss(numbers)
        self.losses.append(loss.item())
        self.log("train/loss", loss)
        return loss

    def validation_step(self, numbers: Tensor, index: int) -> None:
        self.log("val/closeness", -self._loss(numbers))

    def show_examples(self, data: object) -> list[ShownExample]:
        picture, figure = Image.new("RGB", (8, 8), "red"), Image.new("RGB", (16, 8), "blue")
        return [ShownExample(picture, Prediction("two", 0.5), "three", figure)]


class ControlC(Callback):
    """Stops training in its second epoch as Ctrl-C does."""

    def on_train_batch_end(self, trainer: Trainer, *_: object) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


class Diverges(Callback):
    """Spoils a weight after this batch of the second epoch."""

    def __init__(self, batch: int) -> None:
        self.batch = batch

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) == (1, self.batch):
            next(pl_module.parameters()).data.fill_(float("inf"))


class Numbers(LightningDataModule):
    """Vectors of noise; with `noise`, batches differ each time that they are made."""

    def __init__(self, size: int = 24, noise: bool = True, workers: int = 0) -> None:
        super().__init__()
        self.size, self.noise, self.workers = size, noise, workers
        self.vocabulary = ["a", "b", "c"]

    def _collate(self, items: list[Tensor]) -> Tensor:
        return torch.stack(items) + (torch.rand(len(items), 1) if self.noise else 0)

    def train_dataloader(self) -> DataLoader[Tensor]:
        numbers = list(torch.arange(self.size * 3.0).view(-1, 3) / self.size)
        shuffle = EpochShuffle(self.size, seed=3)
        return EpochLoader(
            numbers,  # type: ignore[arg-type]
            batch_size=4,
            sampler=shuffle,
            collate_fn=self._collate,
            num_workers=self.workers,
        )

    def val_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(list(torch.ones(4, 3)), batch_size=2)  # type: ignore[arg-type]
