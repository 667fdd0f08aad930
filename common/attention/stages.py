"""Attention on several stages of a CNN, one after the other: the higher ones see what the lower ones let through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.attention import PreparedKeys
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput
from common.attention.representations import ChannelSpatial, place_width, refuse_values


class StagedKeys(NamedTuple):
    """The map of each stage, and what the first one's attention, which sees no other, prepared of it."""

    maps: tuple[Float[Tensor, "B N _C"], ...]
    keep: Bool[Tensor, "B N"]
    first: PreparedKeys


class StagedChannelSpatial(AttentionMechanism[StagedKeys]):
    """SCA-CNN on several layers (Chen et al. 2017, equations 1-9): `ChannelSpatial` on each stage's map in turn.

        Y_1 = X_1,  Y_l = X_l + W_l Z_{l-1},  Z_l = beta_l alpha_l Y_l  (both of the query and Y_l)
        context = [mean_i Z_1i; ...; mean_i Z_Li]

    In the paper the CNN's own layers make Y_l of Z_{l-1}, anew at every word: as many passes through them as there are
    words, for which no feature could be kept. Here X_l is what these layers make of the whole picture, computed once
    (and cached), and a linear map of the cells, zero at first, adds what the lower stage's attention changes in it. So
    the upper attention depends on the lower, as in the paper, but on the grid of the encoder's last stage, and the
    change goes from cell to cell without the convolutions' neighbours. The context has all stages, where the paper's is
    the last one's mean alone. The released code works on two layers, and normalises the context to length one.

    Args:
        widths: of the stages, in the keys' order, the lowest first (an encoder's `stage: [2, 3]` has them in
            `stage_widths`). The keys may have four features more at their end (`geometry`), which the last stage has.
        hidden_dim, order, rescale: of each stage's attention, see `ChannelSpatial`; with `rescale`, alpha too is
            multiplied by the number of valid regions before the next stage sees Z.

    `parts` are each stage's alpha, `weights` their mean. Time for each query: that of `ChannelSpatial` on each stage
    and N C_l C_{l+1} for W; memory N C_l a stage.

    Raises:
        ValueError: the widths do not come to that of the keys.
    """

    part_axis = "stage"
    stages: Sequence[ChannelSpatial]
    between: Sequence[nn.Linear]

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        widths: list[int],
        hidden_dim: int = 512,
        order: Literal["channel-spatial", "spatial-channel"] = "channel-spatial",
        rescale: bool = True,
    ) -> None:
        super().__init__()
        place = place_width("stages", key_dim, widths)
        self.kind = f"{order} in {len(widths)} stages"
        self.rescale = rescale
        self.widths = [*widths[:-1], widths[-1] + place]
        self.stages = nn.ModuleList(  # type: ignore[assignment]
            ChannelSpatial(query_dim, width, hidden_dim, order, rescale) for width in self.widths
        )
        self.between = nn.ModuleList(  # type: ignore[assignment]
            nn.Linear(below, above, bias=False) for below, above in zip(self.widths[:-1], self.widths[1:], strict=True)
        )
        for linear in self.between:
            nn.init.zeros_(linear.weight)

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N K"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> StagedKeys:
        """The stages' maps of the keys [B N K].

        Raises:
            ValueError: other values than the keys.
        """
        refuse_values(values, "StagedChannelSpatial weighs the features of the keys")
        maps = keys.split(self.widths, -1)
        return StagedKeys(maps, keep, self.stages[0].prepare(maps[0], keep))

    def forward(self, query: Float[Tensor, "B Q E"], keys: StagedKeys, step: int = 0) -> AttentionOutput:
        """Context [B Q K], weights [B Q N] and those of each stage [B Q L N]."""
        beta, alpha, seen = self.stages[0].weigh(query, keys.first)
        contexts, looks, current = [beta * seen], [alpha], keys.maps[0].unsqueeze(1)  # [B #Q N C]
        for stage, linear, above in zip(self.stages[1:], self.between, keys.maps[1:], strict=True):
            current = above.unsqueeze(1) + linear(self._let_through(current, beta, alpha, keys.keep))  # [B Q N C]
            beta, alpha, seen = _weigh_each(stage, query, current, keys.keep)
            contexts.append(beta * seen)
            looks.append(alpha)
        parts = torch.stack(looks, 2)
        return AttentionOutput(torch.cat(contexts, -1), parts.mean(2), parts=parts)

    def _let_through(
        self,
        regions: Float[Tensor, "B #Q N C"],
        beta: Float[Tensor, "B Q C"],
        alpha: Float[Tensor, "B Q N"],
        keep: Bool[Tensor, "B N"],
    ) -> Float[Tensor, "B Q N C"]:
        """Z = beta alpha Y."""
        if self.rescale:
            alpha = alpha * keep.sum(-1)[:, None, None]
        return beta.unsqueeze(2) * alpha.unsqueeze(-1).to(regions.dtype) * regions


def _weigh_each(
    stage: ChannelSpatial, query: Float[Tensor, "B Q E"], regions: Float[Tensor, "B Q N C"], keep: Bool[Tensor, "B N"]
) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B Q N"], Float[Tensor, "B Q C"]]:
    """beta, alpha and the weighed regions of queries that each see regions of their own."""
    own = keep.repeat_interleave(query.shape[1], 0)  # [B*Q N]
    found = stage.weigh(query.flatten(0, 1).unsqueeze(1), stage.prepare(regions.flatten(0, 1), own))
    beta, alpha, seen = (each.squeeze(1).unflatten(0, query.shape[:2]) for each in found)
    return beta, alpha, seen
