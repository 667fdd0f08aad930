"""What a training costs: examples a second, memory, parameters; and a training that keeps account of them."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from common.attention import AttentionMechanism, CoAttention
from common.attention.transformer import MultiHeadAttention
from common.training.cli import TrainingCLI

MEBIBYTE = 2**20
BatchType = TypeVar("BatchType", covariant=True)


@runtime_checkable
class Batches(Protocol[BatchType]):
    """What a loader is to those who go through it."""

    def __iter__(self) -> Iterator[BatchType]: ...

    def __len__(self) -> int: ...


def count_examples(batch: Any) -> int:
    """The pictures of a batch; where each has several questions, the questions."""
    return sum(len(each) if isinstance(each, Sized) else 1 for each in batch.records)


class TrainingSpeed(Callback):
    """Examples a second from the end of one training batch to that of the next, validation left out."""

    def __init__(self, count: Callable[[Any], int] = count_examples) -> None:
        self.count = count
        self.examples = 0
        self.seconds = 0.0
        self._before: float | None = None  # the first batch of an epoch waits for the loader to begin

    @property
    def rate(self) -> float | None:
        """None where no epoch had two batches."""
        return self.examples / self.seconds if self.seconds else None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._before = None

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew, in the midst of an epoch, too."""
        self._before = None

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch. A GPU is waited for at the ends of an epoch only."""
        if pl_module.device.type == "cuda" and (self._before is None or trainer.is_last_batch):
            torch.cuda.synchronize(pl_module.device)
        now = time.perf_counter()
        if self._before is not None:
            self.examples += self.count(batch)
            self.seconds += now - self._before
        self._before = now


class Timed(Generic[BatchType]):
    """A loader that notes how long each of its batches is worked on, loading left out."""

    def __init__(self, loader: Batches[BatchType], count: Callable[[Any], int] = count_examples) -> None:
        self.loader = loader
        self.count = count
        self.turns: list[tuple[int, float]] = []

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[BatchType]:
        for batch in self.loader:
            start = time.perf_counter()
            yield batch
            self.turns.append((self.count(batch), time.perf_counter() - start))

    @property
    def rate(self) -> float | None:
        """Examples a second; the first batch, at which much is set up, counts only where it is alone."""
        turns = self.turns[1:] or self.turns
        return sum(count for count, _ in turns) / sum(seconds for _, seconds in turns) if turns else None


def peak_memory(device: torch.device) -> float:
    """The most memory that this process has had, in MiB: of the GPU where it computes there, else resident."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / MEBIBYTE
    status = Path("/proc/self/status")
    if status.exists():  # Linux's ru_maxrss begins with that of the process which started this one
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (MEBIBYTE if sys.platform == "darwin" else 1024)


def parameters(module: nn.Module) -> tuple[int, int]:
    """How many numbers a model learns in all, and how many of them in its attention."""
    kinds = (AttentionMechanism, CoAttention, MultiHeadAttention)
    looking = [part for part in module.modules() if isinstance(part, kinds)]
    return _learned([module]), _learned(looking)


def _learned(modules: Iterable[nn.Module]) -> int:
    """Parts within parts are counted once; what is frozen is not learned."""
    found = {id(weight): weight for module in modules for weight in module.parameters() if weight.requires_grad}
    return sum(weight.numel() for weight in found.values())


class MeasuredTraining(TrainingCLI):
    """A training that measures its speed."""

    def __init__(self, arguments: list[str], name: str) -> None:
        """name: of the run, in Weights & Biases."""
        self.speed = TrainingSpeed()
        self.name = name
        super().__init__(arguments)

    @property
    def run_name(self) -> str:
        """As given."""
        return self.name

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer with a stopwatch."""
        trainer = super().instantiate_trainer(**kwargs)
        trainer.callbacks.insert(0, self.speed)  # type: ignore[attr-defined]  # before others take their time
        return trainer

    def _how_to_go_on(self) -> str:
        return "give the same command again"


class Rehearsal(TrainingCLI):
    """Puts data, model and trainer together, all settings checked, and neither trains nor writes anything."""

    def __init__(self, arguments: list[str]) -> None:
        super().__init__([*arguments, "--trainer.logger=false"])

    def before_instantiate_classes(self) -> None:
        """A run in the folder is in nobody's way."""
        self.folder = Path(self.config.fit.folder)

    def fit(self, model: LightningModule, **kwargs: Any) -> None:
        """Leave it at that."""

    def after_fit(self) -> None:
        """There is no result."""
