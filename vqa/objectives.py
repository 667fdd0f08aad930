"""What a VQA model is trained for: each objective returns named loss terms."""

from __future__ import annotations

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class AnswerObjective(nn.Module, ABC):
    """Loss terms of answer logits."""

    @abstractmethod
    def forward(self, logits: Float[Tensor, "N A"], targets: Float[Tensor, "N A"]) -> dict[str, Float[Tensor, ""]]:
        """Scalars by name; `targets` are the answers' scores in 0..1, a row of zeros where no known answer is right."""


class LabelCrossEntropy(AnswerObjective):
    """Cross-entropy with the most common answer; questions without a known answer do not count (Lu et al. 2016)."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(self, logits: Float[Tensor, "N A"], targets: Float[Tensor, "N A"]) -> dict[str, Float[Tensor, ""]]:
        """The scalar "cross_entropy" over the questions [N] with a known answer."""
        known = targets.amax(-1) > 0
        per_question = nn.functional.cross_entropy(
            logits, targets.argmax(-1), reduction="none", label_smoothing=self.label_smoothing
        )
        return {"cross_entropy": (per_question * known).sum() / known.sum().clamp(min=1)}


class SoftCrossEntropy(AnswerObjective):
    """Cross-entropy with the answers' scores as a distribution, so that every annotator counts."""

    def forward(self, logits: Float[Tensor, "N A"], targets: Float[Tensor, "N A"]) -> dict[str, Float[Tensor, ""]]:
        """The scalar "cross_entropy" over the questions [N] with a known answer."""
        total = targets.sum(-1, keepdim=True)
        share = targets / total.clamp(min=1e-6)
        return {"cross_entropy": -(share * logits.log_softmax(-1)).sum() / (total > 0).sum().clamp(min=1)}
