"""How well metrics agree with people: Kendall's tau-c with the expert judgements of Flickr8k (Hodosh et al. 2013).

Three experts rated, from 1 to 4, how well captions of other images fit an image. The protocol is that of the papers
that compare metrics (Anderson et al. 2016; Hessel et al. 2021): a candidate that is among the image's own references
is left out, each of the three ratings is a row of its own, and a metric scores the candidate against all references.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from captioning.metrics.scores import measure_captions
from captioning.metrics.tokens import Chain
from common.errors import DataError


class Judgement(NamedTuple):
    """A caption that people judged beside an image."""

    image: str
    candidate: str
    references: tuple[str, ...]
    ratings: tuple[int, ...]


def read_flickr8k_expert(annotations: str | Path, captions: str | Path) -> list[Judgement]:
    """The judgements of ExpertAnnotations.txt, captions from Flickr8k.token.txt; raises DataError for other files."""
    lines = _fields(captions, 2)
    text = {key.strip(): caption for key, caption in lines}
    of_image: dict[str, list[str]] = {}
    for key, caption in lines:
        of_image.setdefault(key.partition("#")[0], []).append(caption)
    judgements = []
    for image, candidate, *ratings in _fields(annotations, 5):
        if candidate not in text or image not in of_image:
            raise DataError(f"{annotations}: {captions} has no caption {candidate} or none of {image}")
        if not all(rating.isdecimal() for rating in ratings):
            raise DataError(f"{annotations}: {image} with {candidate} is rated {ratings}, which are no whole numbers")
        references = tuple(of_image[image])
        if text[candidate] not in references:
            judgements.append(Judgement(image, text[candidate], references, tuple(map(int, ratings))))
    return judgements


def agreements(
    judgements: Sequence[Judgement], meteor: bool | None = None, spice: bool | None = None, tokens: Chain = "own"
) -> dict[str, float]:
    """Tau-c times 100 of every metric by name; BLEU is that of each candidate alone, CIDEr-D's idf that of all rows.

    The arguments and errors are those of `measure_captions`.
    """
    captions: dict[int | str, str] = {row: judgement.candidate for row, judgement in enumerate(judgements)}
    references: dict[int | str, tuple[str, ...]] = {
        row: judgement.references for row, judgement in enumerate(judgements)
    }
    measures = measure_captions(captions, references, meteor, spice, tokens)
    return {name: 100 * agreement(measure.each, judgements) for name, measure in measures.items()}


def agreement(scores: ArrayLike, judgements: Sequence[Judgement]) -> float:
    """Kendall's tau-c of a metric's scores [N] with all ratings of the judgements, each rating a row."""
    values = np.asarray(scores, dtype=np.float64)
    several = [len(judgement.ratings) for judgement in judgements]
    ratings = np.array([rating for judgement in judgements for rating in judgement.ratings], dtype=np.float64)
    return tau_c(np.repeat(values, several), ratings)


def tau_c(first: Float[np.ndarray, " N"], second: Float[np.ndarray, " N"]) -> float:
    """Stuart's tau-c (1953), for tables that are not square: 2 m (P - Q) / (n^2 (m - 1)).

    P and Q: the pairs that both put in the same order and in the opposite one; m: the different values of that side
    which has fewer. 0 where a side has only one. Counted value by value of the second, which should have few.
    """
    levels = np.unique(second)
    kinds = min(len(levels), len(np.unique(first)))
    if kinds < 2:
        return 0.0
    surplus = 0
    for level in levels:
        here, above = first[second == level], np.sort(first[second > level])
        higher = len(above) - np.searchsorted(above, here, side="right")
        surplus += int((higher - np.searchsorted(above, here, side="left")).sum())
    return 2 * kinds * surplus / (len(first) ** 2 * (kinds - 1))


def _fields(path: str | Path, count: int) -> list[list[str]]:
    """The lines of a file of so many fields between tabs."""
    try:
        rows = [line.split("\t") for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if wrong := [number for number, row in enumerate(rows, start=1) if len(row) != count]:
        raise DataError(f"{path}: line {wrong[0]} has not {count} fields between tabs")
    return rows
