"""What every VQA model is to the objectives and to those who look at its attention.

Shapes: B pictures, N questions about them, T words, R regions, A answers, L levels of attention.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention import VisualFeatures


class VQAOutput(NamedTuple):
    """Logits of the answers, and at each level where the model looked; None where it does not look."""

    logits: Float[Tensor, "N A"]
    region_weights: Float[Tensor, "N L R"] | None
    word_weights: Float[Tensor, "N L T"] | None


class VQAModel(nn.Module, ABC):
    """Answers from pictures and questions. `kind` names the attention, `level_names` its levels."""

    kind: str
    level_names: tuple[str, ...]

    @abstractmethod
    def forward(
        self,
        features: VisualFeatures,
        image_index: Int[Tensor, " N"],
        tokens: Int[Tensor, "N T"],
        keep: Bool[Tensor, "N T"],
    ) -> VQAOutput:
        """Logits [N A] for questions [N T]; question n is about picture image_index[n]."""
