"""Local attention: a window of keys that moves (Luong et al. 2015, section 3.2), over words, grid cells or boxes.

The paper's windows lie on a sentence. On a grid they are squares of cells, and for boxes squares in which a box's
centre must lie; both are the natural generalisation, which is nowhere published.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention.distributions import Distribution
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionOutput, expected_value
from common.attention.positions import Position


class Places(NamedTuple):
    """Where N keys lie along A axes: words by index, cells by row and column, boxes by their centre's y and x.

    length: the keys up to the last valid one. extent: how far a place can lie along each axis. reach: of a window, to
    either side of its centre. indexed: whether places are whole numbers, and so the centres of windows.
    """

    at: Float[Tensor, "#B N A"]
    length: Int[Tensor, " B"]
    extent: Float[Tensor, "#B A"]
    reach: float
    indexed: bool


class Local(Position):
    """The keys within a window alone: { s : |s - centre| <= D along each axis }, cut at the border.

    Where no valid key lies in the window, weights and context are zero.

    Args:
        window: D, in words or cells (the paper's sentences: 10; 3 suits a grid of 14 x 14 cells, 2 one of 7 x 7).
        radius: D for boxes, in fractions of the picture's width and height.

    Raises:
        ValueError: a window or radius is negative.
    """

    gaussian = False

    def __init__(self, window: int = 2, radius: float = 0.25) -> None:
        super().__init__()
        if not (window >= 0 and radius >= 0):
            raise ValueError(f"a window reaches 0 or more to either side, got window {window} and radius {radius}")
        self.window = window
        self.radius = radius

    def begin(self, keep: Bool[Tensor, "B N"], layout: Grid | Boxes | None = None) -> Places:
        """The places of the keys: those of words where there is no layout."""
        index = torch.arange(keep.shape[1], device=keep.device)
        length = (keep * (index + 1)).amax(-1)
        if isinstance(layout, Boxes):
            corners = layout.corners
            centres = (corners[..., [1, 0]] + corners[..., [3, 2]]) / 2  # [B N 2]
            return Places(centres, length, torch.ones_like(centres[:, 0]), self.radius, indexed=False)
        if isinstance(layout, Grid):
            cells = torch.stack([index // layout.width, index % layout.width], -1).float().unsqueeze(0)  # [1 N 2]
            return Places(cells, length, cells[:, -1], self.window, indexed=True)
        return Places(index.float().view(1, -1, 1), length, length.float().unsqueeze(-1), self.window, indexed=True)

    @abstractmethod
    def centre(self, query: Float[Tensor, "B Q E"], places: Places, step: int) -> Float[Tensor, "B #Q A"]:
        """p_t, where each query's window lies."""

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
        """Context [B Q D] and weights [B Q N], zero outside the window."""
        centre = self.centre(query, begun, step)
        middle = centre.floor() if begun.indexed else centre
        window = ((begun.at.unsqueeze(1) - middle.unsqueeze(2)).abs() <= begun.reach).all(-1)  # [B #Q N]
        weights = distribution(logits, keep.unsqueeze(1) & window)
        if self.gaussian:
            distance = (begun.at.unsqueeze(1) - centre.unsqueeze(2)).square().sum(-1)  # [B #Q N]
            weights = weights * torch.exp(-distance / (2 * (begun.reach / 2) ** 2)).to(weights.dtype)
        return AttentionOutput(expected_value(weights, values), weights)


class LocalMonotonic(Local):
    """local-m: p_t = t, word for word or as a raster scan of the regions in their order, over and over.

    The window of step t lies around the key t mod S, of the S keys up to the last valid one.
    """

    kind = "local monotonic"

    def centre(self, query: Float[Tensor, "B Q E"], places: Places, step: int) -> Float[Tensor, "B 1 A"]:
        """The place of key t mod S."""
        index = (step % places.length.clamp(min=1)).view(-1, 1, 1)  # [B 1 1]
        return places.at.expand(len(index), -1, -1).gather(1, index.expand(-1, 1, places.at.shape[-1]))


class LocalPredictive(Local):
    """local-p: each query predicts where to look (equations 9 and 10).

        p_t = S sigmoid(v . tanh(W q_t))
        weights = distribution within { s : |s - floor(p_t)| <= D } * exp(-(s - p_t)^2 / (2 sigma^2)),  sigma = D / 2

    as in the paper not brought back to a sum of one. A picture has a v and an S for each axis, (H - 1, W - 1) on a grid
    and (1, 1) for boxes, whose windows lie around p_t itself. p_t's gradient comes through the Gaussian alone.

    Args:
        window, radius: D, as of `Local`.
        gaussian: whether keys near p_t are favoured; without it p_t gets no gradient and stays as it was initialised.
        variant: over words. "paper": S is their number. "code": their number less one, so that p_t never leaves them.

    Raises:
        ValueError: the window is a single key, whose Gaussian has no width.
    """

    kind = "local predictive"

    def __init__(
        self,
        query_dim: int,
        hidden_dim: int = 512,
        window: int = 2,
        radius: float = 0.25,
        gaussian: bool = True,
        variant: Literal["paper", "code"] = "paper",
    ) -> None:
        super().__init__(window, radius)
        if window == 0 or radius == 0:
            raise ValueError("LocalPredictive learns where to look from the keys around, so window and radius are > 0")
        self.gaussian = gaussian
        self.variant = variant
        self.map_query = nn.Linear(query_dim, hidden_dim, bias=False)
        self.predict = nn.Linear(hidden_dim, 2, bias=False)  # along y and x; words lie along x

    def begin(self, keep: Bool[Tensor, "B N"], layout: Grid | Boxes | None = None) -> Places:
        """The places of the keys, and S."""
        places = super().begin(keep, layout)
        if layout is None and self.variant == "code":
            return places._replace(extent=(places.extent - 1).clamp(min=0))
        return places

    def centre(self, query: Float[Tensor, "B Q E"], places: Places, step: int) -> Float[Tensor, "B Q A"]:
        """p_t, in at least float32."""
        scores = self.predict(torch.tanh(self.map_query(query)))[..., -places.at.shape[-1] :]
        share = scores.to(torch.promote_types(scores.dtype, torch.float32)).sigmoid()
        return places.extent.unsqueeze(1) * share
