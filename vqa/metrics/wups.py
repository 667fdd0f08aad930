"""WUPS: answers scored by how near their words are in WordNet (Malinowski and Fritz 2014, `calculate_wups.py`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from itertools import accumulate, chain
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile

import numpy as np
from jaxtyping import Float

from common.errors import ConfigError, DataError

Similarity: TypeAlias = Callable[[str, str], float]  # Wu-Palmer similarity of two words, in 0..1

FAR = 0.1  # the weight of a similarity below the threshold


def answer_items(answer: str) -> list[str]:
    """The items of an answer that may be a list, such as "book, tape_dispenser"."""
    return [item.strip() for item in answer.split(",")]


@dataclass(frozen=True)
class Wups:
    """WUPS of an answer in 0..1 at a threshold: 0.9 and 0.0 are those that papers report."""

    similarity: Similarity
    threshold: float

    def __call__(self, prediction: str, answers: Sequence[str]) -> float:
        """The smaller of two products: over predicted items of the best match in the truth, and over true items of the
        best match in the prediction. The mean over annotators where there are several (average consensus).
        """
        return float(self.of_each([prediction], answers).mean())

    def of_each(self, predictions: Sequence[str], answers: Sequence[str]) -> Float[np.ndarray, "P A"]:
        """WUPS of each prediction with each answer as the truth."""
        if not predictions or not answers:
            return np.zeros((len(predictions), len(answers)))
        predicted, rows = _laid_out(predictions)
        true, columns = _laid_out(answers)
        near = np.array([[self._weighted(p, t) for t in true] for p in predicted])
        forth = np.multiply.reduceat(np.maximum.reduceat(near, columns, 1), rows, 0)
        back = np.multiply.reduceat(np.maximum.reduceat(near, rows, 0), columns, 1)
        return np.minimum(forth, back)

    def _weighted(self, first: str, second: str) -> float:
        if first == second:
            return 1.0
        similarity = self.similarity(first, second)
        return similarity if similarity >= self.threshold else FAR * similarity


def _laid_out(answers: Sequence[str]) -> tuple[list[str], list[int]]:
    """The items of all answers in a row, and where in it each answer begins."""
    items = [answer_items(answer) for answer in answers]
    return list(chain(*items)), [0, *accumulate(map(len, items[:-1]))]


class WupTable:
    """Wu-Palmer similarities of a closed set of words; a word that is not among them is like itself only."""

    def __init__(self, words: Sequence[str], similarities: np.ndarray) -> None:
        """similarities: [words words]"""
        self._index = {word: number for number, word in enumerate(words)}
        # Similarities are ratios of small numbers: rounding lets the 0.9 of a float32 table reach a threshold of 0.9.
        self._similarities = np.round(similarities.astype(float), 6)

    @classmethod
    def load(cls, path: str | Path) -> WupTable:
        """Read a NumPy archive of `words` [W] and `wup` [W, W]; raises DataError when it is none."""
        try:
            with open(path, "rb") as file:
                archive = np.load(file, allow_pickle=False)
                words, similarities = archive["words"], archive["wup"]
        except (OSError, EOFError, ValueError, KeyError, IndexError, BadZipFile) as error:
            raise DataError(f"{path} is no table of similarities (.npz with `words` and `wup`): {error}") from error
        if similarities.shape != (len(words), len(words)):
            raise DataError(f"{path}: {len(words)} words need as many rows and columns, not {similarities.shape}")
        return cls([str(word) for word in words], similarities)

    def __call__(self, first: str, second: str) -> float:
        """The similarity of two words."""
        if first in self._index and second in self._index:
            return float(self._similarities[self._index[first], self._index[second]])
        return float(first == second)


def wordnet_similarity() -> Similarity:
    """The similarity of the nearest two noun senses in NLTK's WordNet; raises ConfigError where it is not installed."""
    try:
        wordnet = import_module("nltk.corpus").wordnet
        wordnet.ensure_loaded()
    except (ImportError, LookupError) as error:
        raise ConfigError(
            "NLTK's WordNet is not installed: `pip install nltk`, then `nltk.download('wordnet')`"
        ) from error

    @cache  # a thousand answers make some 100,000 pairs, at most
    def similarity(first: str, second: str) -> float:
        nouns = [wordnet.synsets(word, pos=wordnet.NOUN) for word in (first, second)]
        return max((a.wup_similarity(b) or 0.0 for a in nouns[0] for b in nouns[1]), default=0.0)

    return similarity
