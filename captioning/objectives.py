"""What a captioner is trained for: each objective returns named, weighted loss terms; the module adds them up."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from captioning.decoders.base import TeacherForced
from common.errors import ConfigError


class Objective(nn.Module, ABC):
    """Loss terms of the decoder's output on given captions."""

    @abstractmethod
    def forward(
        self,
        output: TeacherForced,
        targets: Int[Tensor, "B Q T"],
        keep: Bool[Tensor, "B Q T"],
        regions: Bool[Tensor, "B R"],
    ) -> dict[str, Float[Tensor, ""]]:
        """Scalars by name. `keep` marks the valid words of the targets [B Q T], `regions` the valid regions [B R]."""


class CrossEntropy(Objective):
    """Negative log-likelihood of the words, mean over words; `label_smoothing` is spread over the whole vocabulary."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(
        self,
        output: TeacherForced,
        targets: Int[Tensor, "B Q T"],
        keep: Bool[Tensor, "B Q T"],
        regions: Bool[Tensor, "B R"],
    ) -> dict[str, Float[Tensor, ""]]:
        """The scalar "cross_entropy" of targets [B Q T]."""
        likelihood = nn.functional.nll_loss(output.log_probs, targets[keep])
        if self.label_smoothing:
            likelihood = torch.lerp(likelihood, -output.log_probs.mean(), self.label_smoothing)
        return {"cross_entropy": likelihood}


class DoublyStochastic(Objective):
    """weight * sum_i (1 - sum_t alpha_ti)^2: each region is looked at about once (Xu et al. 2015, equation 14).

    `reduction`: "paper" sums over regions and takes the mean over captions; "code" (as released) takes the mean over
    regions and sums over captions; "mean" takes the mean over both. Weight 1 means three different things. None of them
    is the paper's balance, whose likelihood is the sum over a caption's words: beside our mean over words (see
    `CrossEntropy`) its weight is to be divided by the captions' length.
    """

    def __init__(self, weight: float = 1.0, reduction: Literal["paper", "code", "mean"] = "paper") -> None:
        super().__init__()
        self.weight = weight
        self.reduction = reduction

    def forward(
        self,
        output: TeacherForced,
        targets: Int[Tensor, "B Q T"],
        keep: Bool[Tensor, "B Q T"],
        regions: Bool[Tensor, "B R"],
    ) -> dict[str, Float[Tensor, ""]]:
        """The scalar "doubly_stochastic" of weights [B Q T R]; padded steps and regions count for nothing."""
        seen = (output.weights * keep.unsqueeze(-1)).sum(2)  # [B Q R]
        captions = keep.any(-1)  # [B Q]
        missed = (1 - seen).square() * regions.unsqueeze(1) * captions.unsqueeze(-1)  # [B Q R]
        penalty = missed.sum(-1)  # [B Q]
        if self.reduction != "paper":
            penalty = penalty / regions.sum(-1, keepdim=True).clamp(min=1)  # a picture may have none
        total = penalty.sum() if self.reduction == "code" else penalty.sum() / captions.sum()
        return {"doubly_stochastic": self.weight * total}


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

    def forward(
        self,
        output: TeacherForced,
        targets: Int[Tensor, "B Q T"],
        keep: Bool[Tensor, "B Q T"],
        regions: Bool[Tensor, "B R"],
    ) -> dict[str, Float[Tensor, ""]]:
        """The scalars "reinforce" and "attention_entropy" of captions [B Q T].

        Raises:
            ConfigError: the attention is not hard.
        """
        if output.attention_log_prob is None or output.entropy is None:
            raise ConfigError("HardAttentionReinforce is for hard attention: set the attention's position to Hard")
        words = keep.sum()
        reward = self._reward(output.log_probs, targets, keep)  # [B Q]
        captions = keep.any(-1)
        advantage = (reward - self._baseline(reward[captions])) * captions
        choices = (output.attention_log_prob * keep).sum(-1)  # [B Q]
        entropy = (output.entropy * keep).sum() / words
        return {
            "reinforce": -self.weight * (advantage * choices).sum() / words,
            "attention_entropy": -self.entropy_weight * entropy,
        }

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
