"""N-grams of many sentences, numbered and counted at once: what BLEU, CIDEr-D and the diversity measures share."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import TypeAlias

import numpy as np
from jaxtyping import Int

from common.errors import DataError

LONGEST = 4  # BLEU and CIDEr-D go up to four words

Tokens: TypeAlias = Sequence[Hashable]  # words, or token ids where a reward is computed in training
NGram: TypeAlias = tuple[Hashable, ...]


@dataclass(frozen=True)
class NGramTable:
    """Numbers from 0 on for some n-grams of one to four tokens, G in all: first the tokens, then the pairs, and so on.

    keys: for each order from two on, the sorted numbers `prefix * len(words) + last word`, where the prefix is the
    place of the n-gram's first words among those of their order.
    """

    words: Mapping[Hashable, int]
    keys: tuple[Int[np.ndarray, " _"], ...]

    @property
    def sizes(self) -> list[int]:
        """How many n-grams of each order there are."""
        return [len(self.words), *map(len, self.keys)]

    @property
    def size(self) -> int:
        """How many there are in all."""
        return sum(self.sizes)

    @property
    def orders(self) -> Int[np.ndarray, " G"]:
        """0 for each token, 1 for each pair, ..."""
        return np.repeat(np.arange(LONGEST), self.sizes)

    def find(self, other: NGramTable) -> Int[np.ndarray, " other"]:
        """The numbers here of all the other table's n-grams, in the order of its numbers; -1 for what is not here."""
        get = self.words.get
        words = np.fromiter((get(word, -1) for word in other.words), np.int64, len(other.words))
        place, begin, found = words, len(self.words), [words]
        for mine, theirs in zip(self.keys, other.keys, strict=True):
            prefix, last = place[theirs // len(other.words)], words[theirs % len(other.words)]
            place = places(mine, np.where((prefix < 0) | (last < 0), -1, prefix * len(self.words) + last))
            found.append(np.where(place < 0, -1, place + begin))
            begin += len(mine)
        return np.concatenate(found)


@dataclass(frozen=True)
class NGramCounts:
    """How often each n-gram is in each of N sentences: entries in the order of the sentences, then of the numbers."""

    table: NGramTable
    lengths: Int[np.ndarray, " N"]  # in tokens
    sentence: Int[np.ndarray, " E"]
    ngram: Int[np.ndarray, " E"]  # its number in the table
    count: Int[np.ndarray, " E"]


def count_ngrams(sentences: Sequence[Tokens]) -> NGramCounts:
    """Number and count the n-grams of one to four tokens."""
    flat = list(chain.from_iterable(sentences))
    numbers = {word: number for number, word in enumerate(dict.fromkeys(flat))}
    words = np.fromiter(map(numbers.__getitem__, flat), np.int64, len(flat))
    lengths = np.fromiter(map(len, sentences), np.int64, len(sentences))
    sentence = np.repeat(np.arange(len(sentences)), lengths)
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(flat))  # tokens from here to the sentence's end

    numbered, keys = [words], []
    starts = np.arange(len(flat))
    for order in range(2, LONGEST + 1):
        longer = left[starts] >= order
        starts = starts[longer]
        wanted = numbered[-1][longer] * len(numbers) + words[starts + order - 1]
        keys.append(np.unique(wanted))
        numbered.append(np.searchsorted(keys[-1], wanted))
    table = NGramTable(numbers, tuple(keys))

    begins = accumulate(table.sizes, initial=0)
    ngram = np.concatenate([place + begin for place, begin in zip(numbered, begins, strict=False)])
    of = np.concatenate([sentence[left >= order] for order in range(1, LONGEST + 1)])
    size = max(1, table.size)
    entries, count = np.unique(of * size + ngram, return_counts=True)
    return NGramCounts(table, lengths, entries // size, entries % size, count)


def of_all_images(
    references: Sequence[Sequence[Tokens]], hypotheses: int | None = None
) -> tuple[list[Tokens], Int[np.ndarray, " N"]]:
    """The references of all images, one image after the other, and how many each has.

    Raises DataError where there is no image, one without references, or not one hypothesis for each.
    """
    several = np.fromiter(map(len, references), np.int64, len(references))
    if not len(references):
        raise DataError("no images to score captions of: give at least one, with its references")
    if not several.all():
        raise DataError(f"image number {int(several.argmin())} has no reference caption: leave it out or give it one")
    if hypotheses not in (None, len(references)):
        raise DataError(f"{hypotheses} captions for {len(references)} images: give one for each")
    return list(chain.from_iterable(references)), several


def places(sorted_keys: Int[np.ndarray, " K"], wanted: Int[np.ndarray, " W"]) -> Int[np.ndarray, " W"]:
    """Where each wanted number is in the sorted ones, -1 where it is not."""
    if not len(sorted_keys):
        return np.full(len(wanted), -1)
    # In order, a search begins near the end of the one before: several times as fast in a table that no cache holds.
    order = wanted.argsort()
    found = np.empty_like(order)
    found[order] = np.searchsorted(sorted_keys, wanted[order]).clip(max=len(sorted_keys) - 1)
    return np.where(sorted_keys[found] == wanted, found, -1)
