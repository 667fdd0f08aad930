"""What every VQA model is to its head and to those who look at its attention.

Shapes: B pictures, Q questions about each, T words, R regions, A answers, L levels of attention, F facts of J words.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention import VisualFeatures
from common.attention.places import centre_sinusoids
from common.attention.squash import FastTanh
from common.encoders import TextEncoder


class VQAOutput(NamedTuple):
    """Logits of the answers, and at each level where the model looked; None where it does not look.

    region_parts, fact_parts: the weights of each of P heads, hops, glimpses, ..., as the model's `part_axis` names
    them; None where there is but one distribution.
    """

    logits: Float[Tensor, "B Q A"]
    region_weights: Float[Tensor, "B Q L R"] | None = None
    word_weights: Float[Tensor, "B Q L T"] | None = None
    region_parts: Float[Tensor, "B Q L P R"] | None = None
    fact_weights: Float[Tensor, "B Q L F"] | None = None
    fact_parts: Float[Tensor, "B Q L P F"] | None = None

    def cpu(self) -> VQAOutput:
        """The same on the CPU in float32: moved as a whole, however many questions are then read out one by one."""
        return VQAOutput(*(each if each is None else each.float().cpu() for each in self))  # type: ignore[arg-type]


class Lesson(NamedTuple):
    """Training questions about B pictures with the score of each answer; rows of zeros where no known one is right."""

    features: VisualFeatures
    tokens: Int[Tensor, "B Q T"]
    keep: Bool[Tensor, "B Q T"]
    scores: Float[Tensor, "B Q A"]


class VQAModel(nn.Module, ABC):
    """Answers from pictures and questions.

    `kind` names the attention, `level_names` its levels, `part_axis` the parts of each level's weights, if any. A model
    with `reads_facts` takes the facts that come with the questions, too: `forward(features, tokens, keep, facts)`. One
    that `memorises` is shown all training questions once, before it is trained.
    """

    kind: str
    part_axis: str | None = None
    level_names: tuple[str, ...]
    reads_facts: bool = False
    memorises: bool = False

    @abstractmethod
    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] for the questions [B Q T] about each picture."""

    def memorise(self, lessons: Iterable[Lesson]) -> None:
        """Learn what needs no gradients: nothing, unless told."""


def region_embedding(region_dim: int, dim: int, dropout: float = 0.0) -> nn.Module:
    """tanh(W v + b) of the regions [.. region_dim] in the width of the words."""
    return nn.Sequential(nn.Linear(region_dim, dim), FastTanh(), nn.Dropout(dropout))


def embedded(embed: nn.Module, features: VisualFeatures, places: bool) -> Float[Tensor, "B R D"]:
    """The regions through their embedding, and then with their places (`centre_sinusoids`) added, if these are wanted:
    among the features they drown in the embedding's tanh."""
    regions: Float[Tensor, "B R D"] = embed(features.values)
    if places:
        regions = regions + centre_sinusoids(features.layout, regions.shape[-1]).to(regions.dtype)
    return regions


def perceptron(dim: int, hidden_dim: int, answers: int, dropout: float) -> nn.Module:
    """Two layers to the answers' logits, with dropout before each."""
    return nn.Sequential(
        nn.Dropout(dropout), nn.Linear(dim, hidden_dim), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden_dim, answers)
    )


def summarise(text: TextEncoder, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> Float[Tensor, "B Q D"]:
    """Each question in one vector, as its encoder has it."""
    return text.summary(text(tokens.flatten(0, 1), keep.flatten(0, 1))).unflatten(0, keep.shape[:2])


def one_level(weights: Tensor | None) -> Tensor | None:
    """Weights [B Q ..] as those of the only level, [B Q 1 ..]."""
    return None if weights is None else weights.unsqueeze(2)
