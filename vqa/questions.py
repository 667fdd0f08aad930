"""Questions as they are put to a model, and their texts as word ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from common.data.batches import Transferable
from common.data.loading import pad_texts
from common.data.records import VQARecord
from common.data.tokenizer import tokenize
from common.data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Question:
    """A question about a picture, with facts to answer from and the answers to choose from, if any."""

    text: str
    facts: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()

    @classmethod
    def of(cls, record: VQARecord) -> Question:
        """The question that a record holds."""
        return cls(record.question, record.facts, record.choices)


@dataclass(frozen=True)
class Texts(Transferable):
    """N texts of T words at most that come with each question: its facts, or its choices. keep: the valid words."""

    tokens: Int[Tensor, "B Q N T"]
    keep: Bool[Tensor, "B Q N T"]


@dataclass(frozen=True)
class Choices(Transferable):
    """The answers on offer; keep: which there are. scores: of each in 0..1; all zero where they are not known."""

    texts: Texts
    keep: Bool[Tensor, "B Q N"]
    scores: Float[Tensor, "B Q N"]


class Encoding:
    """Texts to word ids. The same texts come again in every epoch, and are cleaned only once."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._encoded: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """The ids of a text's words."""
        if text not in self._encoded:
            self._encoded[text] = self.vocabulary.encode(tokenize(text))
        return self._encoded[text]

    def questions(self, asked: Sequence[Sequence[str]]) -> tuple[Int[Tensor, "B Q T"], Bool[Tensor, "B Q T"]]:
        """The questions about each picture, and which words are valid."""
        return pad_texts([[self.encode(question) for question in row] for row in asked])

    def texts(self, given: Sequence[Sequence[Sequence[str]]]) -> Texts:
        """The texts of each question about each picture: at least one of at least one word, which need not be valid."""
        columns = max(map(len, given))
        rows = [each for row in given for each in (*row, *[()] * (columns - len(row)))]  # B * Q
        tokens, keep = pad_texts([[self.encode(text) for text in each] for each in rows], least=1)
        shape = len(given), columns
        return Texts(tokens.unflatten(0, shape), keep.unflatten(0, shape))
