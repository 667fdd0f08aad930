"""What every way to answer is to the Lightning module.

Shapes: B pictures, Q questions about each; the model's output for a question is W wide, as the head asks for.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from vqa.data import VQABatch
from vqa.questions import Question

RANKED = 5  # answers that a prediction names: the best, and the next best


class Ranked(NamedTuple):
    """The answers to one question.

    best: the likeliest with their probabilities, best first: `RANKED` of them, or all on offer if there are fewer.
    choices: where answers are on offer, the logit of each, in their order; -inf of one that cannot be judged.
    """

    best: list[tuple[str, float]]
    choices: tuple[float, ...] = ()


class Counted(NamedTuple):
    """Over how many questions, or words, the losses of a batch are a mean, and over how many questions its accuracy."""

    losses: Int[Tensor, ""]
    accuracy: Int[Tensor, ""]


class AnswerHead(nn.Module, ABC):
    """Losses, accuracy and answers from a model's output. width: W, what the model's `answers` is to be."""

    width: int

    @abstractmethod
    def losses(self, output: Float[Tensor, "B Q W"], batch: VQABatch) -> dict[str, Float[Tensor, ""]]:
        """Scalars by name over the questions that are asked."""

    @abstractmethod
    def accuracy(self, output: Float[Tensor, "B Q W"], batch: VQABatch) -> Float[Tensor, ""]:
        """The mean score of the likeliest answers to the questions that are asked, in percent."""

    @abstractmethod
    def counted(self, batch: VQABatch) -> Counted:
        """How much of a batch its losses and its accuracy stand for, so that means of batches make a mean of all."""

    @abstractmethod
    def answers(self, output: Float[Tensor, "B Q W"], asked: Sequence[Sequence[Question]]) -> list[list[Ranked]]:
        """The answers to each question."""


def rank(answers: Sequence[str], probabilities: Float[Tensor, " N"]) -> list[tuple[str, float]]:
    """The likeliest of N answers; of equally likely ones the first comes first."""
    best = probabilities.sort(descending=True, stable=True)
    pairs = zip(best.indices[:RANKED].tolist(), best.values[:RANKED].tolist(), strict=True)
    return [(answers[index], probability) for index, probability in pairs]
