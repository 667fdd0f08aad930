"""N-gram counts, shared by BLEU and CIDEr-D."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import chain
from typing import TypeAlias

LONGEST = 4  # both metrics go up to four words

Tokens: TypeAlias = Sequence[Hashable]  # words, or token ids where a reward is computed in training
NGram: TypeAlias = tuple[Hashable, ...]


def count_ngrams(tokens: Tokens) -> Counter[NGram]:
    """How often each n-gram of one to four tokens occurs; `len(ngram)` tells its order."""
    shifted = [tokens[skip:] for skip in range(LONGEST)]
    return Counter(chain.from_iterable(zip(*shifted[:n], strict=False) for n in range(1, LONGEST + 1)))
