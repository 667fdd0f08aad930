"""How hard attention learns where to look."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from captioning.objectives.base import Captions, Objective
from common.errors import ConfigError


class HardAttentionReinforce(Objective):
    """REINFORCE for hard attention's choices, with a moving baseline and an entropy bonus (Xu et al. 2015, 4.1).

        -(weight (log p(y|s) - b) sum_t log p(s_t) + entropy_weight sum_t H[s_t])
        b <- decay b + (1 - decay) log p(y|s)

    as a mean over words, like the cross-entropy. `reward`: "sum" is the caption's log-likelihood (paper), "mean" its
    mean over words (released code), which does not grow with the caption's length.
    """

    baseline: Float[Tensor, ""]
    seen: Bool[Tensor, ""]

    def __init__(
        self,
        weight: float = 1.0,
        entropy_weight: float = 0.002,
        decay: float = 0.9,
        reward: Literal["sum", "mean"] = "sum",
    ) -> None:
        super().__init__()
        self.weight = weight
        self.entropy_weight = entropy_weight
        self.decay = decay
        self.reward = reward
        self.register_buffer("baseline", torch.zeros(()))
        self.register_buffer("seen", torch.zeros((), dtype=torch.bool))

    def forward(self, captions: Captions) -> dict[str, Float[Tensor, ""]]:
        """The scalars "reinforce" and "attention_entropy" of captions [B Q T].

        Raises:
            ConfigError: the attention is not hard.
        """
        output, keep = captions.output, captions.keep
        if output.attention_log_prob is None or output.entropy is None:
            raise ConfigError("HardAttentionReinforce is for hard attention: set the attention's position to Hard")
        words = keep.sum()
        reward = self._reward(output.log_probs, captions.targets, keep)  # [B Q]
        given = keep.any(-1)
        advantage = (reward - self._baseline(reward[given])) * given
        choices = (output.attention_log_prob * keep).sum(-1)  # [B Q]
        entropy = (output.entropy * keep).sum() / words
        return {
            "reinforce": -self.weight * (advantage * choices).sum() / words,
            "attention_entropy": -self.entropy_weight * entropy,
        }

    def counted(self, captions: Captions) -> dict[str, Int[Tensor, ""]]:
        """The words."""
        return dict.fromkeys(("reinforce", "attention_entropy"), captions.keep.sum())

    def _reward(
        self, log_probs: Float[Tensor, "M V"], targets: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]
    ) -> Float[Tensor, "B Q"]:
        """Each caption's log-likelihood, without gradient."""
        words = log_probs.detach().gather(1, targets[keep].unsqueeze(1)).squeeze(1)
        likelihood = log_probs.new_zeros(keep.shape).masked_scatter(keep, words).sum(-1)
        return likelihood if self.reward == "sum" else likelihood / keep.sum(-1).clamp(min=1)

    def _baseline(self, reward: Float[Tensor, " N"]) -> Float[Tensor, ""]:
        """The baseline for these rewards, from earlier batches (the first takes its own mean); training moves it on."""
        mean = reward.mean()
        baseline = torch.where(self.seen, self.baseline, mean)
        if self.training:
            self.baseline.copy_(torch.lerp(mean, baseline, self.decay))
            self.seen.fill_(True)
        return baseline
