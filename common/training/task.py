"""What the training loop, its callbacks and the checkpoints know of a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass
from importlib.metadata import version
from typing import Any, ClassVar

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from PIL import Image

from common.attention import VisualFeatures
from common.data.batches import ImageBatch
from common.data.records import Prediction
from common.encoders import VisualEncoder
from common.training.optimisation import Optimisation, configure

FORMAT = 1  # of what is written below; to be raised when older readers would go wrong


@dataclass(frozen=True)
class ShownExample:
    """One held-out example as it is shown while training; `figure` is the picture with the attention drawn on it."""

    image: Image.Image
    prediction: Prediction
    truth: str
    figure: Image.Image


class TaskModule(LightningModule):
    """A visual encoder with a model of a task. Its checkpoints say what they are, and hold the constructor's arguments.

    A subclass sets `encoder` and `optimisation`, and calls `self.save_hyperparameters(logger=False)` in its
    constructor, whose arguments must be plain values or dataclasses of plain values.
    """

    task: ClassVar[str]
    script: ClassVar[str]  # what to use its checkpoints with
    metric: ClassVar[str]  # the logged value that matters; the higher, the better
    data: ClassVar[type[LightningDataModule]] = LightningDataModule  # what it is trained on
    encoder: VisualEncoder
    optimisation: Optimisation

    def attach(self, data: Any) -> None:
        """Tell the task's data how this model wants its pictures and words."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        """Attach the trainer's data."""
        self.encoder.to(self.trainer.strategy.root_device)  # where features for a cache are computed
        self.attach(self.trainer.datamodule)  # type: ignore[attr-defined]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """See `Optimisation`."""
        return configure(self, self.optimisation, self.encoder)

    def features(self, visual: ImageBatch | VisualFeatures) -> VisualFeatures:
        """Features [B R D] of pictures; those from a cache are there already."""
        return visual if isinstance(visual, VisualFeatures) else self.encoder(visual)

    def show_examples(self) -> list[ShownExample]:
        """The same few held-out examples each time, as the model sees them now; none where it has nothing to show."""
        return []

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add who wrote it and for what."""
        checkpoint["saccade"] = {
            "format": FORMAT,
            "version": version("saccade"),
            "task": self.task,
            "script": self.script,
        }
        hyper_parameters = checkpoint.get("hyper_parameters", {})
        checkpoint["hyper_parameters"] = {name: _plain(value) for name, value in hyper_parameters.items()}


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
