"""Orders and draws that depend on the run's seed and the epoch only, so that a resumed run goes on exactly; and shares
of them for processes that train together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.utils.data import DataLoader, DistributedSampler

T = TypeVar("T")


def epoch_seed(seed: int, epoch: int) -> int:
    """A seed for one epoch. Not `seed + epoch`, with which the run of seed 1 would be that of seed 0 an epoch later."""
    return (seed * 1_000_003 + epoch * 7919 + 12345) % 2**32


def place_among_processes() -> tuple[int, int]:
    """The number of this process among those that train together, from 0 on, and how many they are; (0, 1) alone."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


class EpochShuffle(DistributedSampler[int]):
    """The numbers below `size` in an order of their own in each epoch. The trainer calls `set_epoch`.

    Of several processes each takes every n-th; where they do not go round evenly, the first numbers come once more.
    `seed` is the run's where it is not given: the one that Lightning's `seed_everything` left, or 0.
    """

    def __init__(self, size: int, seed: int | None = None) -> None:
        rank, processes = place_among_processes()
        seed = int(os.environ.get("PL_GLOBAL_SEED", "0")) if seed is None else seed
        super().__init__(range(size), processes, rank, seed=seed)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        order = torch.randperm(len(self.dataset), generator=generator).tolist()  # type: ignore[arg-type]
        yield from islice(cycle(order), self.rank, self.total_size, self.num_replicas)


class WholeBatches(DistributedSampler[int]):
    """The numbers below `size` in order, of which each of several processes takes whole batches in turn.

    So a batch is what it would be in a single process, and gives the same numbers to the last digit. Where batches do
    not go round evenly, some process has the first one once more: whoever counts must count each example once, as
    `common.training.findings` does.
    """

    def __init__(self, size: int, batch_size: int) -> None:
        rank, processes = place_among_processes()
        super().__init__(range(size), processes, rank, shuffle=False)  # type: ignore[arg-type]
        starts = range(0, size, batch_size)
        turns = range(rank, len(starts) + -len(starts) % processes, processes)
        own = (starts[turn] if turn < len(starts) else 0 for turn in turns)
        self.numbers = [number for start in own for number in range(start, min(start + batch_size, size))]

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)


class EpochLoader(DataLoader[T]):
    """A loader whose passes depend on the sampler's seed and epoch only, what its workers draw included.

    The sampler must have both, as `EpochShuffle` and torch's `DistributedSampler` do; each process draws its own.
    Workers may not be persistent, for theirs would be the generators of the epoch before.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        # All that follows is put off to the first `next`: when it resumes, the trainer asks for an iterator before it
        # knows the epoch.
        sampler: Any = self.sampler
        seed = epoch_seed(sampler.seed, sampler.epoch * sampler.num_replicas + sampler.rank)
        self.generator = torch.Generator().manual_seed(seed)
        yield from super().__iter__()
