"""Work on a data set that is shared out between the processes that torchrun has started."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist

from common.data.epochs import place_among_processes
from common.data.results import Id

PATIENCE = timedelta(days=7)  # for the slowest of them; when one ends by a fault, torchrun ends the others
V = TypeVar("V")


@contextmanager
def joined() -> Iterator[None]:
    """Work herein with the others: loaders made here have this process's share. One that is alone has all."""
    if not _launched():
        yield
        return
    dist.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def _launched() -> bool:
    return dist.is_available() and dist.is_torchelastic_launched()


def own_device(device: torch.device) -> torch.device:
    """Of several GPUs this process's own, by its number on its machine, where none is named by number."""
    if str(device) != "cuda" or not _launched():
        return device
    return torch.device("cuda", int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())


def is_first() -> bool:
    """Whether this is the process that prints, shows how far it has come, and writes."""
    return place_among_processes()[0] == 0


@contextmanager
def first_goes_ahead() -> Iterator[None]:
    """What is herein the first process does before the others, which find what it has made, such as cached features.

    Every process must come here; a fault of the first one is theirs to find, too.
    """
    rank, processes = place_among_processes()
    if rank > 0:
        dist.barrier()
    try:
        yield
    finally:
        if rank == 0 and processes > 1:
            dist.barrier()


def gathered(found: Mapping[Id, V], order: Iterable[Id]) -> dict[Id, V]:
    """In the first process what all have found, in this order of ids, which is that of one process; in the others what
    they have found themselves. Every process must call this.

    Values must be what pickle can carry.
    """
    rank, processes = place_among_processes()
    shares: list[Mapping[Id, V]] = [found] * (processes if rank == 0 else 1)
    if processes > 1:
        dist.gather_object(found, shares if rank == 0 else None)
    together = {key: value for share in shares for key, value in share.items()}
    return {key: together[key] for key in order if key in together}
