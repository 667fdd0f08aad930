"""Several levels of attention brought together: the recursive answer encoding of Lu et al. 2016, section 3.4, and
attention to groups and within them (Yang et al. 2016b)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention.distributions import Softmax
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput, even_weights, expected_value
from common.attention.scores import AdditiveScore, Score


class RecursiveEncoding(nn.Module):
    """h_1 = tanh(W_1 x_1), h_l = tanh(W_l [x_l; h_{l-1}]): from words over phrases to the question (equation 7).

    Dropout stands before each layer, as in the released code. `dims` holds the width of each h_l.
    """

    def __init__(self, input_dim: int, dims: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        below = (0, *dims[:-1])
        self.layers = nn.ModuleList(nn.Linear(input_dim + width, dim) for width, dim in zip(below, dims, strict=True))
        self.dropout = nn.Dropout(dropout)

    def forward(self, levels: Sequence[Float[Tensor, "*B D"]]) -> Float[Tensor, "*B E"]:
        """The last level's encoding, [*B dims[-1]], of one summary [*B D] per level, lowest first."""
        hidden: Tensor | None = None
        for layer, level in zip(self.layers, levels, strict=True):
            joined = level if hidden is None else torch.cat([level, hidden], -1)
            hidden = torch.tanh(layer(self.dropout(joined)))
        assert hidden is not None  # zip is strict and `dims` is not empty
        return hidden


class GroupedKeys(NamedTuple):
    """The keys as the look within the groups wants them, and which group each belongs to."""

    projected: Float[Tensor, "B N P"]
    values: Float[Tensor, "B N D"]
    members: Bool[Tensor, "B G N"]
    groups: Float[Tensor, "B G P"] | None  # each group's mean, as the look between them wants it; of "top-down"


class TwoLevel(AttentionMechanism[GroupedKeys]):
    """Attention to patches of the picture and to the regions within each (Yang et al. 2016b, "Hierarchical Attention
    Networks", equations 5-10, with words for regions, sentences for patches, and a query).

        within:  a_gi = softmax_{i in g}(within(q, k_i)),  s_g = sum_i a_gi v_i
        between: b_g  = softmax_g(between(q, s_g));  the weight of region i of patch g is b_g a_gi

    order: "bottom-up" as above. "top-down" chooses among the patches first, by the mean of their keys in place of s_g.
    A patch with nothing valid in it has weight zero.

    Args:
        patches: how many (rows, columns) the grid is cut into. Boxes belong to the patch of the picture that their
            centre lies in. Without a layout, as for words, the valid keys are cut into rows * columns equal runs.
        within, between: the scores of both levels; None is additive. With `FeatureScore` they are the paper's, which
            has no query.
        hidden_dim: of the additive scores.

    `parts` are two: the look at the patches, each one's share spread evenly over its regions, and the look within them,
    each counted alike; both sum to one. Time and memory for each query: G N besides those of the scores.
    """

    part_axis = "level"

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        patches: tuple[int, int] = (2, 2),
        order: Literal["bottom-up", "top-down"] = "bottom-up",
        within: Score | None = None,
        between: Score | None = None,
        hidden_dim: int = 512,
    ) -> None:
        super().__init__()
        if min(patches) < 1:
            raise ValueError(f"patches are (rows, columns) of at least 1 each, got {tuple(patches)}")
        self.kind = f"two-level, {order}"
        self.patches = patches
        self.top_down = order == "top-down"
        self.within = within or AdditiveScore(query_dim, key_dim, hidden_dim)
        self.between = between or AdditiveScore(query_dim, key_dim, hidden_dim)
        self.distribution = Softmax()

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N D"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> GroupedKeys:
        """The groups of the keys [B N K], and both scores' parts of them, as far as they need no query."""
        rows, columns = self.patches
        number = _runs(keep, rows * columns) if layout is None else _patch(layout, rows, columns)  # [#B N]
        members = (number.unsqueeze(-2) == torch.arange(rows * columns, device=keep.device).unsqueeze(-1)) & (
            keep.unsqueeze(1)
        )  # [B G N]
        groups = self.between.project(expected_value(even_weights(members, keys), keys)) if self.top_down else None
        return GroupedKeys(self.within.project(keys), keys if values is None else values, members, groups)

    def forward(self, query: Float[Tensor, "B Q E"], keys: GroupedKeys, step: int = 0) -> AttentionOutput:
        """Context [B Q D], weights [B Q N] and those of both levels [B Q 2 N]."""
        logits = self.within(query, keys.projected)
        members = keys.members.unsqueeze(1)  # [B 1 G N]
        inside = self.distribution(logits.unsqueeze(2).expand(-1, -1, members.shape[2], -1), members)  # [B Q G N]
        filled = members.any(-1)  # [B 1 G]
        chosen = self.distribution(self._compare(query, keys, inside), filled).unsqueeze(3)  # [B Q G 1]
        # no matrix products, which autocast would bring to half precision
        weights = (chosen * inside).sum(2)
        patches = (chosen * even_weights(members, weights)).sum(2)
        regions = inside.sum(2) / filled.sum(-1, keepdim=True).clamp(min=1)
        context = expected_value(weights, keys.values)
        return AttentionOutput(context, weights, parts=torch.stack([patches, regions], 2))

    def _compare(
        self, query: Float[Tensor, "B Q E"], keys: GroupedKeys, inside: Float[Tensor, "B Q G N"]
    ) -> Float[Tensor, "B Q G"]:
        """The logits of the groups, by their means or by the summaries that each query has of its own."""
        if keys.groups is not None:
            return self.between(query, keys.groups)
        shape = inside.shape[1:3]  # Q G
        summaries = expected_value(inside.flatten(1, 2), keys.values).unflatten(1, shape)  # [B Q G D]
        each = query.flatten(0, 1).unsqueeze(1)  # [B*Q 1 E]
        logits = self.between(each, self.between.project(summaries.flatten(0, 1)))
        return logits.squeeze(1).unflatten(0, query.shape[:2])


def _patch(layout: Grid | Boxes, rows: int, columns: int) -> Int[Tensor, "*B N"]:
    """The patch, counted row by row, that holds the centre of each region."""
    if isinstance(layout, Grid):  # cut by its own sides, wherever on the picture it lies
        layout = replace(layout, view=layout.view.new_tensor([0.0, 0.0, 1.0, 1.0]))
    corners = layout.rectangles()
    across, down = ((corners[..., :2] + corners[..., 2:]) / 2).unbind(-1)
    row, column = ((centre * count).long().clamp(0, count - 1) for centre, count in ((down, rows), (across, columns)))
    return row * columns + column


def _runs(keep: Bool[Tensor, "B N"], count: int) -> Int[Tensor, "B N"]:
    """The run of each valid position, `count` of equal length: padding moves none of them."""
    rank = keep.cumsum(-1) - 1
    return (rank * count) // keep.sum(-1, keepdim=True).clamp(min=1)
