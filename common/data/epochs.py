"""Orders and draws that depend on the run's seed and the epoch only, so that a resumed run goes on exactly."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Sampler

T = TypeVar("T")


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for one epoch. Not `seed + epoch`, with which the run of seed 1 would be that of seed 0 an epoch later."""
    return (seed * 1_000_003 + epoch * 7919 + 12345) % 2**32


class EpochShuffle(Sampler[int]):
    """The numbers below `size` in an order of their own in each epoch. The trainer calls `set_epoch`.

    `seed` is the run's where it is not given: the one that Lightning's `seed_everything` left, or 0.
    """

    def __init__(self, size: int, seed: int | None = None) -> None:
        self.size = size
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", "0")) if seed is None else seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of `epoch`."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        yield from torch.randperm(self.size, generator=generator).tolist()


class EpochLoader(DataLoader[T]):
    """A loader whose passes depend on the sampler's seed and epoch only, what its workers draw included.

    The sampler must have both, as `EpochShuffle` and torch's `DistributedSampler` do; workers may not be persistent,
    for theirs would be the generators of the epoch before.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # All that follows is put off to the first `next`: when it resumes, the trainer asks for an iterator before it
        # knows the epoch.
        sampler: Any = self.sampler
        self.generator = torch.Generator().manual_seed(epoch_seed(sampler.seed, sampler.epoch))
        yield from super().__iter__()
