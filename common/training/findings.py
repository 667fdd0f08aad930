"""What validation finds out, put together over the processes that share it: each example counts once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Generic, NamedTuple, TypeVar

import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from common.data.epochs import place_among_processes
from common.data.results import Id

V = TypeVar("V")


@dataclass(frozen=True)
class Found(Generic[V]):
    """The mean of each loss term over all that it counts, and what was found of each example, by its id."""

    terms: dict[str, float]
    examples: dict[Id, V]


class _Batch(NamedTuple, Generic[V]):
    """The loss terms of a batch, over how many of what each is a mean, and what was found of each example."""

    terms: dict[str, float]
    counts: dict[str, float]
    examples: dict[Id, V]


class Findings(Generic[V]):
    """Collects loss terms of batches and a value for each example.

    Processes must have the batches in turn, as `WholeBatches` deals them out: then the examples come out in the order
    of a single process, and so do all sums over them. Values must be what pickle can carry.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[dict[str, Tensor], dict[str, Tensor | float], dict[Id, V]]] = []

    def clear(self) -> None:
        """Forget all, such as what an interrupted validation left."""
        self._batches = []

    def add(
        self,
        terms: Mapping[str, Float[Tensor, ""]],
        examples: Iterable[tuple[Id, V]],
        counts: Mapping[str, Tensor | float] | None = None,
    ) -> None:
        """Take in a batch: the means of its loss terms, and its examples' ids with what was found of each.

        counts: over how many each term is a mean, such as the words or the questions with a known answer, where that
            is not the number of examples: the mean over all batches then does not depend on how they are cut.
        """
        found = dict(examples)
        sizes = dict.fromkeys(terms, len(found)) | dict(counts or {})
        self._batches.append(({name: term.detach() for name, term in terms.items()}, sizes, found))

    def gather(self) -> Found[V]:
        """All of it, of all processes, and forget it. Every process must call this, and gets the same.

        A term that counts nothing in any batch is left out, for its mean is no number.
        """
        own = [_Batch(_plain(terms), _plain(counts), examples) for terms, counts, examples in self._batches]
        self.clear()
        shares = [own]
        _, processes = place_among_processes()
        if processes > 1:
            shares = [own] * processes
            dist.all_gather_object(shares, own)
        totals: dict[str, float] = {}
        counts: dict[str, float] = {}
        found: dict[Id, V] = {}
        for batch in (batch for turn in zip_longest(*shares) for batch in turn if batch is not None):
            new = {key: value for key, value in batch.examples.items() if key not in found}
            found.update(new)
            for name, term in batch.terms.items():
                count = batch.counts[name] * len(new) / max(len(batch.examples), 1)
                counts[name] = counts.get(name, 0.0) + count
                totals[name] = totals.get(name, 0.0) + (term * count if count else 0.0)
        return Found({name: total / counts[name] for name, total in totals.items() if counts[name]}, found)


def _plain(values: Mapping[str, Tensor | float]) -> dict[str, float]:
    """As Python's numbers, which are on no device."""
    return {name: float(value) for name, value in values.items()}
