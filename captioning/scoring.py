"""Captions of any model, by image id, scored against references and compared with another's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from captioning.metrics import diversity, lengths_and_repetition, measure_captions, provenance
from captioning.metrics.tokens import Chain
from common.data.tokenizer import tokenize
from common.measures import Comparison, Measure, compare
from common.statistics import Interval, bootstrap_interval

Captions = Mapping[int | str, str]
References = Mapping[int | str, Sequence[str]]


@dataclass(frozen=True)
class Scoring:
    """How captions are scored: whose tokens; METEOR and SPICE as `measure_captions` has them; the resamples' seed."""

    tokens: Chain = "own"
    meteor: bool | None = None
    spice: bool | None = None
    seed: int = 0

    def measure(self, captions: Captions, references: References) -> dict[str, Measure]:
        """Every score with each image's part in it; raises DataError where images do not fit."""
        return measure_captions(captions, references, self.meteor, self.spice, self.tokens)


@dataclass(frozen=True)
class Report:
    """What is found out about a set of captions. Scores are times 100; intervals are of 95 %, over other images."""

    scores: Mapping[str, Interval]
    captions: Mapping[str, float]  # their diversity, lengths and repetition
    made_with: Mapping[str, str]
    comparison: Mapping[str, Comparison]  # empty where there is nothing to compare with

    def as_json(self) -> dict[str, Any]:
        """Plain values for metrics.json."""
        return {
            "scores": {name: interval.value for name, interval in self.scores.items()},
            "intervals": {name: [interval.low, interval.high] for name, interval in self.scores.items()},
            "captions": dict(self.captions),
            "comparison": {name: asdict(each) for name, each in self.comparison.items()},
            "made with": dict(self.made_with),
        }


def report(
    captions: Captions,
    references: References,
    other: Captions | None = None,
    training: Collection[str] | None = None,
    scoring: Scoring = Scoring(),
) -> Report:
    """Score captions, describe them, and compare them with those of another model for the same images.

    training: the captions that the model learned from, to tell how many it made itself.
    Raises DataError where images do not fit.
    """
    measures = scoring.measure(captions, references)
    rivals = scoring.measure(other, references) if other is not None else {}
    return Report(
        {name: bootstrap_interval(each.statistics, each.score, seed=scoring.seed) for name, each in measures.items()},
        describe(list(captions.values()), training),
        provenance(measures, references, scoring.tokens),
        compare(measures, rivals, seed=scoring.seed) if rivals else {},
    )


def describe(
    captions: Sequence[str], training: Collection[str] | None = None, finished: Sequence[bool] | None = None
) -> dict[str, float]:
    """How varied, long and repetitive captions are: see `diversity` and `lengths_and_repetition`."""
    words = [tokenize(caption) for caption in captions]
    known = None if training is None else [tokenize(caption) for caption in training]
    return diversity(words, known) | lengths_and_repetition(words, finished)
