"""The likelihood of the given captions."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from captioning.objectives.base import Captions, Objective


class CrossEntropy(Objective):
    """Negative log-likelihood of the words, mean over words; `label_smoothing` is spread over the whole vocabulary.

    weight: beside other objectives, such as a reward that it is to keep in the language of the captions.
    """

    def __init__(self, label_smoothing: float = 0.0, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.label_smoothing = label_smoothing

    def forward(self, captions: Captions) -> dict[str, Float[Tensor, ""]]:
        """The scalar "cross_entropy" of the targets [B Q T]."""
        log_probs = captions.output.log_probs
        likelihood = nn.functional.nll_loss(log_probs, captions.targets[captions.keep])
        if self.label_smoothing:
            likelihood = torch.lerp(likelihood, -log_probs.mean(), self.label_smoothing)
        return {"cross_entropy": self.weight * likelihood}

    def counted(self, captions: Captions) -> dict[str, Int[Tensor, ""]]:
        """The words."""
        return {"cross_entropy": captions.keep.sum()}
