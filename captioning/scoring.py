"""Captions of any model, by image id, scored against references and compared with another's."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from captioning.metrics import diversity, lengths_and_repetition, measure_captions, provenance
from captioning.metrics.clip import PAPERS, Clip, ClipScores
from captioning.metrics.tokens import CHAINS, Chain
from common.data.tokenizer import tokenize
from common.measures import Comparison, Measure, compare
from common.statistics import Interval, bootstrap_interval

Captions = Mapping[int | str, str]
References = Mapping[int | str, Sequence[str]]


@dataclass(frozen=True)
class Scoring:
    """How captions are scored: whose tokens; METEOR and SPICE as `measure_captions` has them; by which pictures too."""

    tokens: Chain = "own"
    meteor: bool | None = None
    spice: bool | None = None
    clip: ClipScores | None = None

    def measure(self, captions: Captions, references: References) -> dict[str, Measure]:
        """Every score with each image's part in it; raises DataError where images do not fit."""
        measures = measure_captions(captions, references, self.meteor, self.spice, self.tokens)
        return measures | (self.clip.measure(captions, references) if self.clip else {})

    def made_with(self, scores: Mapping[str, object], references: References) -> dict[str, str]:
        """What the scores were made with and against, to be printed and saved beside them."""
        by_pictures = {"CLIPScore": self.clip.clip.name} if self.clip else {}
        return provenance(scores, references, self.meteor, self.spice, self.tokens) | by_pictures


def add_scoring_options(parser: argparse.ArgumentParser) -> None:
    """How captions are scored."""
    parser.add_argument("--tokens", choices=CHAINS, help="official: Stanford's tokenizer, by Java; default own")
    parser.add_argument("--meteor", action=argparse.BooleanOptionalAction, help="default: where Java can run it")
    parser.add_argument("--spice", action=argparse.BooleanOptionalAction, help="default: where it is complete")
    parser.add_argument(
        "--clip",
        nargs="?",
        const=PAPERS,
        metavar="WEIGHTS",
        help=f"CLIPScore too, by open_clip: MODEL:TAG, MODEL:FILE or a folder; without a value {PAPERS}",
    )


def given_scoring_options(options: argparse.Namespace) -> list[str]:
    """Those that were given, as they are written."""
    return [f"--{name}" for name in ("tokens", "meteor", "spice", "clip") if getattr(options, name) is not None]


def scoring_of(options: argparse.Namespace, pictures: Mapping[int | str, Path]) -> Scoring:
    """What the options ask for; raises ConfigError or CheckpointError where a model that it takes cannot be had."""
    clip = ClipScores(Clip.load(options.clip, options.device), pictures) if options.clip else None
    return Scoring(options.tokens or "own", options.meteor, options.spice, clip)


@dataclass(frozen=True)
class Report:
    """What is found out about a set of captions. Scores are times 100; intervals are of 95 %, over other images."""

    scores: Mapping[str, Interval]
    description: Mapping[str, float]  # the captions' diversity, lengths and repetition
    made_with: Mapping[str, str]
    comparison: Mapping[str, Comparison]  # empty where there is nothing to compare with

    def as_json(self) -> dict[str, Any]:
        """Plain values for metrics.json."""
        return {
            "scores": {name: interval.value for name, interval in self.scores.items()},
            "intervals": {name: [interval.low, interval.high] for name, interval in self.scores.items()},
            "description": dict(self.description),
            "comparison": {name: asdict(each) for name, each in self.comparison.items()},
            "made with": dict(self.made_with),
        }


def report(
    captions: Captions,
    references: References,
    other: Captions | None = None,
    training: Collection[str] | None = None,
    scoring: Scoring = Scoring(),
    seed: int = 0,
) -> Report:
    """Score captions, describe them, and compare them with those of another model for the same images.

    training: the captions that the model learned from, to tell how many it made itself. seed: of the resamples.
    Raises DataError where images do not fit.
    """
    measures = scoring.measure(captions, references)
    rivals = scoring.measure(other, references) if other is not None else {}
    return Report(
        {name: bootstrap_interval(each.statistics, each.score, seed=seed) for name, each in measures.items()},
        describe(list(captions.values()), training),
        scoring.made_with(measures, references),
        compare(measures, rivals, seed=seed) if rivals else {},
    )


def describe(
    captions: Sequence[str], training: Collection[str] | None = None, finished: Sequence[bool] | None = None
) -> dict[str, float]:
    """How varied, long and repetitive captions are: see `diversity` and `lengths_and_repetition`."""
    words = [tokenize(caption) for caption in captions]
    known = None if training is None else [tokenize(caption) for caption in training]
    return diversity(words, known) | lengths_and_repetition(words, finished)
