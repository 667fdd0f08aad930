"""What the training loop, its callbacks and the checkpoints know of a model."""

from __future__ import annotations

from dataclasses import asdict, dataclass, is_dataclass
from importlib.metadata import version
from typing import Any, ClassVar

from lightning.pytorch import LightningModule
from PIL import Image

from common.data.records import Prediction

FORMAT = 1  # of what is written below; to be raised when older readers would go wrong


@dataclass(frozen=True)
class ShownExample:
    """One held-out example as it is shown while training; `figure` is the picture with the attention drawn on it."""

    image: Image.Image
    prediction: Prediction
    truth: str
    figure: Image.Image


class TaskModule(LightningModule):
    """A model with its task. Its checkpoints say what they are, and hold the constructor's arguments as plain values.

    A subclass calls `self.save_hyperparameters(logger=False)` in its constructor, whose arguments must be plain values
    or dataclasses of plain values.
    """

    task: ClassVar[str]
    script: ClassVar[str]  # what to use its checkpoints with
    metric: ClassVar[str]  # the logged value that matters; the higher, the better

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
