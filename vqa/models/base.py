"""What every VQA model is to the objectives and to those who look at its attention.

Shapes: B pictures, Q questions about each, T words, R regions, A answers, L levels of attention.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention import VisualFeatures


class VQAOutput(NamedTuple):
    """Logits of the answers, and at each level where the model looked; None where it does not look.

    region_parts: the weights of each of P heads, hops, glimpses, ..., as the model's `part_axis` names them; None where
    there is but one distribution.
    """

    logits: Float[Tensor, "B Q A"]
    region_weights: Float[Tensor, "B Q L R"] | None
    word_weights: Float[Tensor, "B Q L T"] | None
    region_parts: Float[Tensor, "B Q L P R"] | None = None

    def cpu(self) -> VQAOutput:
        """The same on the CPU in float32: moved as a whole, however many questions are then read out one by one."""
        return VQAOutput(*(each if each is None else each.float().cpu() for each in self))  # type: ignore[arg-type]


class VQAModel(nn.Module, ABC):
    """Answers from pictures and questions.

    `kind` names the attention, `level_names` its levels, `part_axis` the parts of each level's weights, if any.
    """

    kind: str
    part_axis: str | None = None
    level_names: tuple[str, ...]

    @abstractmethod
    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] for the questions [B Q T] about each picture."""
