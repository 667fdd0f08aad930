"""What the training loop, its callbacks and the checkpoints know of a model."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, is_dataclass, replace
from importlib.metadata import version
from typing import Any, ClassVar

from lightning.pytorch import LightningDataModule, LightningModule
from lightning.pytorch.utilities.types import STEP_OUTPUT, OptimizerLRScheduler
from PIL import Image

from common.attention import VisualFeatures
from common.data.batches import ImageBatch
from common.data.module import SPLITS
from common.data.records import Prediction
from common.data.results import Id
from common.encoders import VisualEncoder
from common.errors import SaccadeError
from common.training.findings import Findings
from common.training.optimisation import Optimisation, configure

FORMAT = 1  # of what is written below; to be raised when older readers would go wrong
LINKS = ("vocabulary", "answers")  # what a model takes from its data module, where it names it: what its numbers mean
LEXICONS = "lexicons"  # the same of several tasks
SHOWN = 8  # held-out examples that are shown at each validation
SHOWN_DPI = 80


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
    networks: ClassVar[tuple[str, ...]]  # its parts whose weights another training may begin with
    data: ClassVar[type[LightningDataModule]] = LightningDataModule  # what it is trained on
    encoder: VisualEncoder
    optimisation: Optimisation

    def __init__(self) -> None:
        super().__init__()
        self.findings: Findings[Any] = Findings()  # of the validation that is under way

    def attach(self, data: Any, splits: Collection[str]) -> None:
        """Tell the task's data how this model wants its pictures and words, and which `splits` are wanted."""
        raise NotImplementedError

    def setup(self, stage: str) -> None:
        """Attach the trainer's data; training wants no test split."""
        self.encoder.to(self.trainer.strategy.root_device)  # where features for a cache are computed
        splits = ("train", "val") if stage == "fit" else SPLITS
        wait = self.trainer.strategy.barrier
        if not self.trainer.is_global_zero:
            wait("features")  # that the first process computes for a cache, where all find them
        self.attach(self.trainer.datamodule, splits)  # type: ignore[attr-defined]
        if self.trainer.is_global_zero:
            wait("features")

    def on_fit_start(self) -> None:
        """Show the data to what memorises them; a run that is resumed has them in its checkpoint."""
        if self.trainer.ckpt_path is None:
            self.memorise(self.trainer.datamodule)  # type: ignore[attr-defined]

    def memorise(self, data: Any) -> None:
        """Learn from the training split of the task's data what needs no gradients: nothing, unless told."""

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """See `Optimisation`."""
        return configure(self, self.optimisation, self.encoder)

    def on_validation_epoch_start(self) -> None:
        """Forget what an interrupted validation left."""
        self.findings.clear()

    def on_validation_epoch_end(self) -> None:
        """Log the loss terms and the scores of all examples, of all processes."""
        found = self.findings.gather()
        if found.examples:
            for name, value in (found.terms | self.validation_scores(found.examples)).items():
                self.log(f"val/{name}", value, prog_bar=f"val/{name}" == self.metric)

    def validation_scores(self, examples: Mapping[Id, Any]) -> dict[str, float]:
        """Scores by name of what `validation_step` found of each example, by its id; the same in every process."""
        return {}

    def on_train_batch_end(self, outputs: STEP_OUTPUT, batch: Any, batch_idx: int) -> None:
        """Look at the loss, at the steps that are logged only: each look waits for the GPU.

        Raises:
            SaccadeError: it is not finite.
        """
        interval: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if self.trainer.is_last_batch or (batch_idx + 1) % max(interval, 1) == 0:
            loss = float(outputs["loss"])  # type: ignore[index]
            if not math.isfinite(loss):
                raise self._diverged(f"the loss is {loss}")

    def on_train_epoch_end(self) -> None:
        """Look at the weights, before a checkpoint with them takes the place of a sound one.

        Raises:
            SaccadeError: one is not finite.
        """
        for name, weight in self.named_parameters():
            if not weight.isfinite().all():
                raise self._diverged(f"{name} is not finite")

    def _diverged(self, what: str) -> SaccadeError:
        return SaccadeError(
            f"training has diverged: {what} at step {self.trainer.global_step}; train anew with a lower "
            "model.init_args.optimisation.learning_rate, or with trainer.gradient_clip_val 1"
        )

    def features(self, visual: ImageBatch | VisualFeatures) -> VisualFeatures:
        """Features [B R D] of pictures; those from a cache are there already, and become float32 here."""
        if isinstance(visual, VisualFeatures):
            return self.encoder.adapt(replace(visual, values=visual.values.float()))
        return self.encoder.adapt(self.encoder(visual))

    def show_examples(self, data: Any) -> list[ShownExample]:
        """The same few held-out examples of its data each time, as the model sees them now; none where it has none."""
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
