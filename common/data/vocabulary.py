"""The words that a model knows, and their ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from common.errors import DataError

PAD, START, END, UNKNOWN = range(4)
SPECIALS = ("<pad>", "<start>", "<end>", "<unk>")


@dataclass(frozen=True)
class Vocabulary:
    """Words by id: the four `SPECIALS` first, then the words of the corpus. `Vocabulary(list(v.words)) == v`.

    A word of a text that is spelled like a special is an unknown word.
    """

    words: Sequence[str]
    _ids: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", tuple(self.words))
        if self.words[: len(SPECIALS)] != SPECIALS:
            raise DataError(f"a vocabulary starts with {SPECIALS}, this one with {self.words[: len(SPECIALS)]}")
        duplicates = [word for word, count in Counter(self.words).items() if count > 1]
        if duplicates:
            raise DataError(f"the vocabulary has {len(duplicates)} words twice, such as {duplicates[0]!r}")
        ids = {word: index for index, word in enumerate(self.words) if index >= len(SPECIALS)}
        object.__setattr__(self, "_ids", ids)

    @classmethod
    def build(cls, token_lists: Iterable[Iterable[str]], minimum_count: int = 1) -> Vocabulary:
        """The words seen at least `minimum_count` times, the most frequent first, ties in the order of the alphabet."""
        counts = Counter(token for tokens in token_lists for token in tokens)
        for special in SPECIALS:
            counts.pop(special, None)
        kept = [word for word, count in counts.items() if count >= minimum_count]
        if not kept:
            most = max(counts.values(), default=0)
            raise DataError(
                f"no word is left for a vocabulary: {minimum_count=}, the most frequent word occurs {most} times"
            )
        return cls((*SPECIALS, *sorted(kept, key=lambda word: (-counts[word], word))))

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """The ids of the words; no start or end is added."""
        return [self._ids.get(token, UNKNOWN) for token in tokens]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The words up to the first end; padding and start are left out, unknown words show as `<unk>`."""
        words = []
        for index in ids:
            if index == END:
                break
            if index not in (PAD, START):
                words.append(self.words[index])
        return words

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        return word in self._ids
