"""What validation finds out, put together over the processes that share it: each example counts once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Generic, TypeVar

import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor

from common.data.epochs import place_among_processes
from common.data.results import Id

V = TypeVar("V")


@dataclass(frozen=True)
class Found(Generic[V]):
    """The mean of each loss term over the examples, and what was found of each example, by its id."""

    terms: dict[str, float]
    examples: dict[Id, V]


class Findings(Generic[V]):
    """Collects loss terms of batches and a value for each example.

    Processes must have the batches in turn, as `WholeBatches` deals them out: then the examples come out in the order
    of a single process, and so do all sums over them. Values must be what pickle can carry.
    """

    def __init__(self) -> None:
        self._batches: list[tuple[dict[str, Tensor], dict[Id, V]]] = []

    def clear(self) -> None:
        """Forget all, such as what an interrupted validation left."""
        self._batches = []

    def add(self, terms: Mapping[str, Float[Tensor, ""]], examples: Iterable[tuple[Id, V]]) -> None:
        """Take in a batch: the means of its loss terms, and its examples' ids with what was found of each."""
        self._batches.append(({name: term.detach() for name, term in terms.items()}, dict(examples)))

    def gather(self) -> Found[V]:
        """All of it, of all processes, and forget it. Every process must call this, and gets the same."""
        own = [({name: float(term) for name, term in terms.items()}, examples) for terms, examples in self._batches]
        self.clear()
        shares = [own]
        _, processes = place_among_processes()
        if processes > 1:
            shares = [own] * processes
            dist.all_gather_object(shares, own)
        found: Found[V] = Found({}, {})
        for batch in (batch for turn in zip_longest(*shares) for batch in turn if batch is not None):
            terms, examples = batch
            new = {key: value for key, value in examples.items() if key not in found.examples}
            found.examples.update(new)
            for name, term in terms.items():
                found.terms[name] = found.terms.get(name, 0.0) + term * len(new)
        return Found({name: total / len(found.examples) for name, total in found.terms.items()}, found.examples)
