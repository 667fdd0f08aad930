"""From logits to attention weights, and the one mask policy of the project.

Mask policy: `keep` is boolean, True = valid, and is always passed, never guessed from values. Logits are brought to
float32 (float64 stays), invalid positions are filled with -inf, and a row with nothing valid gets zero weights: its
context is then zero, and so are its gradients; never NaN.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class Distribution(nn.Module, ABC):
    """p(logits): weights >= 0 over the last axis, zero wherever `keep` is False."""

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"temperature must be > 0, got {temperature}")
        self.temperature = temperature

    def forward(
        self, logits: Float[Tensor, "*B N"], keep: Bool[Tensor, "*#B N"] | None = None
    ) -> Float[Tensor, "*B N"]:
        """Weights of the same shape as `logits`, in at least float32."""
        if logits.dtype in (torch.float16, torch.bfloat16):
            logits = logits.float()
        logits = logits / self.temperature
        if keep is None:
            return self.weigh(logits)
        valid = keep.any(-1, keepdim=True)  # [*B 1]
        # A row with nothing valid is computed as if all were, so that no NaN arises, and then set to zero.
        weights = self.weigh(logits.masked_fill(~keep & valid, -torch.inf))
        return torch.where(keep, weights, torch.zeros_like(weights))

    @abstractmethod
    def weigh(self, logits: Float[Tensor, "*B N"]) -> Float[Tensor, "*B N"]:
        """Weights of logits of which at least one in each row is finite."""


class Softmax(Distribution):
    """exp(e_i) / sum_j exp(e_j)."""

    def weigh(self, logits: Float[Tensor, "*B N"]) -> Float[Tensor, "*B N"]:
        """Dense weights that sum to one."""
        return logits.softmax(-1)


class Sparsemax(Distribution):
    """Projection onto the simplex: sums to one, exactly zero for low logits (Martins & Astudillo 2016)."""

    def weigh(self, logits: Float[Tensor, "*B N"]) -> Float[Tensor, "*B N"]:
        """max(e - tau, 0), tau such that the sum is one (their algorithm 1)."""
        shifted = logits - logits.max(-1, keepdim=True).values
        # -2 is below every threshold (tau >= -1), and is a number where -inf is none
        top = shifted.sort(-1, descending=True).values.clamp(min=-2)
        rank = torch.arange(1, logits.shape[-1] + 1, device=logits.device, dtype=logits.dtype)
        total = top.cumsum(-1)
        size = (1 + rank * top > total).sum(-1, keepdim=True)  # of the support, [*B 1]
        threshold = (total.gather(-1, size - 1) - 1) / size
        return (shifted - threshold).clamp(min=0)


class Entmax15(Distribution):
    """alpha-entmax with alpha = 1.5, between softmax and sparsemax (Peters et al. 2019, their exact algorithm)."""

    def weigh(self, logits: Float[Tensor, "*B N"]) -> Float[Tensor, "*B N"]:
        """max(e / 2 - tau, 0)^2, tau such that the sum is one."""
        half = (logits - logits.max(-1, keepdim=True).values) / 2
        # -2 is below every threshold (tau >= -1), and is a number where -inf is none
        top = half.sort(-1, descending=True).values.clamp(min=-2)
        rank = torch.arange(1, logits.shape[-1] + 1, device=logits.device, dtype=logits.dtype)
        mean = top.cumsum(-1) / rank
        slack = ((1 - top.square().cumsum(-1)) / rank + mean.square()).clamp(min=0)
        last = (mean - slack.sqrt() <= top).sum(-1, keepdim=True) - 1  # of the support, [*B 1]
        # Gathered before the root, whose gradient is NaN where the slack is zero, as it can be outside the support.
        threshold = mean.gather(-1, last) - slack.gather(-1, last).sqrt()
        return (half - threshold).clamp(min=0).square()


class Sigmoid(Distribution):
    """Independent gates 1 / (1 + exp(-e_i)): no competition, the sum is free."""

    def weigh(self, logits: Float[Tensor, "*B N"]) -> Float[Tensor, "*B N"]:
        """Each weight in 0..1."""
        return logits.sigmoid()
