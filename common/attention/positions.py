"""Where the context comes from: all positions (soft) or one (hard); windows of positions are in `local.py`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention.distributions import Distribution, Softmax
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionOutput, expected_value


class Position(nn.Module, ABC):
    """Turns logits into weights and a context."""

    kind: str

    def begin(self, keep: Bool[Tensor, "B N"], layout: Grid | Boxes | None = None) -> Any:
        """What is drawn or worked out once per picture, before its first step, and handed to every step."""
        return None

    @abstractmethod
    def forward(
        self,
        query: Float[Tensor, "B Q E"],
        logits: Float[Tensor, "B Q N"],
        values: Float[Tensor, "B N D"],
        keep: Bool[Tensor, "B N"],
        distribution: Distribution,
        begun: Any = None,
        step: int = 0,
    ) -> AttentionOutput:
        """Context [B Q D] and weights [B Q N]; `begun` is what `begin` returned, `step` counts a decoder's words."""


class Soft(Position):
    """All positions: the context is the expected value (Xu et al. 2015, section 4.2; Luong's global attention)."""

    kind = "soft"

    def forward(
        self,
        query: Float[Tensor, "B Q E"],
        logits: Float[Tensor, "B Q N"],
        values: Float[Tensor, "B N D"],
        keep: Bool[Tensor, "B N"],
        distribution: Distribution,
        begun: None = None,
        step: int = 0,
    ) -> AttentionOutput:
        """Context [B Q D] and weights [B Q N]."""
        weights = distribution(logits, keep.unsqueeze(1))
        return AttentionOutput(expected_value(weights, values), weights)


class Hard(Position):
    """One position, sampled for each example and step (Xu et al. 2015, section 4.1).

    In training one position is drawn from the weights; no gradient flows through the choice, and `log_prob` and
    `entropy` are for the REINFORCE objective. With probability `expectation`, drawn once per picture, the expected
    context takes its place, as in the paper. At inference the likeliest position is taken (`inference="argmax"`);
    "expectation" takes the expected context, with which the released code wrote its captions; "sample" draws.
    """

    kind = "hard"

    def __init__(
        self, expectation: float = 0.5, inference: Literal["argmax", "expectation", "sample"] = "argmax"
    ) -> None:
        super().__init__()
        if not 0 <= expectation <= 1:
            raise ValueError(f"expectation is a probability, got {expectation}")
        self.expectation = expectation
        self.inference = inference

    def begin(self, keep: Bool[Tensor, "B N"], layout: Grid | Boxes | None = None) -> Bool[Tensor, "B 1"]:
        """True for the pictures whose every step takes the expected context."""
        shape = (keep.shape[0], 1)
        if self.training:
            return torch.rand(shape, device=keep.device) < self.expectation
        return torch.full(shape, self.inference == "expectation", device=keep.device)

    def forward(
        self,
        query: Float[Tensor, "B Q E"],
        logits: Float[Tensor, "B Q N"],
        values: Float[Tensor, "B N D"],
        keep: Bool[Tensor, "B N"],
        distribution: Distribution,
        begun: Any = None,
        step: int = 0,
    ) -> AttentionOutput:
        """Context [B Q D], weights [B Q N], log_prob and entropy [B Q]; all zero where nothing is valid."""
        weights = distribution(logits, keep.unsqueeze(1))
        choice = self._choose(weights.detach())  # [B Q]
        chosen = _one_hot(choice, weights) * keep.unsqueeze(1)
        log_weights = weights.clamp(min=torch.finfo(weights.dtype).tiny).log()
        log_prob = log_weights.gather(-1, choice.unsqueeze(-1)).squeeze(-1) * keep.any(-1, keepdim=True)
        entropy = -(weights * log_weights).sum(-1)
        mixed = torch.where(begun.unsqueeze(-1), weights, chosen)
        log_prob = torch.where(begun, torch.zeros_like(log_prob), log_prob)
        return AttentionOutput(expected_value(mixed, values), weights, log_prob, entropy)

    def _choose(self, weights: Float[Tensor, "B Q N"]) -> Int[Tensor, "B Q"]:
        """Indices [B Q] of the positions taken."""
        if not self.training and self.inference != "sample":
            return weights.argmax(-1)
        # The exponential race: argmax_i w_i / E_i, E_i ~ Exp(1), is i with probability w_i; weight zero never wins.
        return (weights / _exponential(weights)).argmax(-1)


class GumbelStraightThrough(Position):
    """One position, sampled, through which the gradient of a soft sample passes (Jang et al. 2017, section 2.2).

        y = softmax((log alpha + n g) / tau),  g_i ~ Gumbel(0, 1)
        z = onehot(argmax y) in the context, y in its gradient

    With n = 1 the choice is drawn from the weights alpha exactly, whatever tau; the gradient is biased, less with a
    small tau, and noisy, less with a large one. There is no log_prob, for REINFORCE is not needed. At inference the
    likeliest position is taken (`inference="argmax"`) or the expected context ("expectation").

    Args:
        temperature: tau.
        noise: n. With 0 the likeliest position is taken in training, too (Bengio et al. 2013): nothing is tried out, so
            that it is for looks that are good already, such as those of a soft model (`start_from`).
    """

    kind = "hard, straight through"

    def __init__(
        self, temperature: float = 1.0, noise: float = 1.0, inference: Literal["argmax", "expectation"] = "argmax"
    ) -> None:
        super().__init__()
        if noise < 0:
            raise ValueError(f"noise must be >= 0, got {noise}")
        self.relax = Softmax(temperature)
        self.noise = noise
        self.inference = inference

    def forward(
        self,
        query: Float[Tensor, "B Q E"],
        logits: Float[Tensor, "B Q N"],
        values: Float[Tensor, "B N D"],
        keep: Bool[Tensor, "B N"],
        distribution: Distribution,
        begun: None = None,
        step: int = 0,
    ) -> AttentionOutput:
        """Context [B Q D] and weights [B Q N], the alpha above; zero where nothing is valid."""
        weights = distribution(logits, keep.unsqueeze(1))
        if self.training:
            taken = self._sample(weights)
        elif self.inference == "argmax":
            taken = _one_hot(weights.argmax(-1), weights) * keep.unsqueeze(1)
        else:
            taken = weights
        return AttentionOutput(expected_value(taken, values), weights)

    def _sample(self, weights: Float[Tensor, "B Q N"]) -> Float[Tensor, "B Q N"]:
        """z: what is zero among the weights stays so, in the gradient too."""
        log_weights = weights.clamp(min=torch.finfo(weights.dtype).tiny).log()
        gumbel = -_exponential(weights).log()
        soft = self.relax(log_weights + self.noise * gumbel, weights > 0)
        hard = _one_hot(soft.argmax(-1), weights) * (weights > 0)
        return hard + (soft - soft.detach())


def _one_hot(choice: Int[Tensor, "B Q"], weights: Float[Tensor, "B Q N"]) -> Float[Tensor, "B Q N"]:
    """One at each choice, of the weights' kind."""
    return torch.zeros_like(weights).scatter_(-1, choice.unsqueeze(-1), 1.0)


def _exponential(weights: Float[Tensor, "B Q N"]) -> Float[Tensor, "B Q N"]:
    """Draws E > 0 from Exp(1), one for each weight; -log E is a draw from Gumbel(0, 1)."""
    return torch.empty_like(weights).exponential_().clamp_(min=torch.finfo(weights.dtype).tiny)
