"""Several representations of a region: attention to its features, its channels, and the sources it was seen by.

Two things that share a name are kept apart. `MultiDimensional` has one distribution over the regions for each feature
(Shen et al. 2018). `ChannelSpatial` has one distribution over the features, shared by all regions, and one over the
regions, shared by all features (Chen et al. 2017).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.attention import PreparedKeys
from common.attention.distributions import Distribution, Softmax
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput, even_weights, expected_value
from common.attention.scores import AdditiveScore, Score

PLACE = 4  # numbers that an encoder's `geometry` appends to a region's features: its rectangle


def expected_features(weights: Float[Tensor, "B Q D N"], values: Float[Tensor, "B N D"]) -> Float[Tensor, "B Q D"]:
    """sum_i weights_di values_id: each feature by its own weights."""
    return torch.einsum("bqdn,bnd->bqd", weights.to(values.dtype), values)


class MultiDimensional(AttentionMechanism[PreparedKeys]):
    """One distribution over the regions for each feature (Shen et al. 2018, "DiSAN", section 3, with a query).

        f(x_i, q) = W_v tanh(W_q q + W_k x_i + b_k) + b   (D numbers)
        P_id = softmax_i(f(x_i, q)_d),  context_d = sum_i P_id x_id

    `weights` are the mean over the features, `parts` the P of each. Time and memory: N (E + D) for each query, where
    `AdditiveScore` has N E; E = `hidden_dim`.
    """

    kind = "multi-dimensional"
    part_axis = "feature"

    def __init__(
        self, query_dim: int, key_dim: int, hidden_dim: int = 512, distribution: Distribution | None = None
    ) -> None:
        super().__init__()
        self.map_query = nn.Linear(query_dim, hidden_dim, bias=False)
        self.map_key = nn.Linear(key_dim, hidden_dim)
        self.score = nn.Linear(hidden_dim, key_dim)
        self.distribution = distribution or Softmax()

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N K"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> PreparedKeys:
        """W_k x + b_k for keys [B N K]."""
        return PreparedKeys(self.map_key(keys), keys if values is None else values, keep, None)

    def forward(self, query: Float[Tensor, "B Q E"], keys: PreparedKeys, step: int = 0) -> AttentionOutput:
        """Context [B Q D], weights [B Q N] and those of each feature [B Q D N]."""
        hidden = torch.tanh(self.map_query(query).unsqueeze(2) + keys.projected.unsqueeze(1))  # [B Q N H]
        logits = self.score(hidden).transpose(2, 3)  # [B Q D N]
        parts = self.distribution(logits, keys.keep[:, None, None])
        return AttentionOutput(expected_features(parts, keys.values), parts.mean(2), parts=parts)


class ChannelSpatial(AttentionMechanism[PreparedKeys]):
    """Which features matter, and where (Chen et al. 2017, "SCA-CNN", equations 5-9), on one feature map.

        channel: beta  = softmax_c(w_b . tanh(W_c v_c + b_c + W_hc q)),  v_c the mean of feature c over the regions
        spatial: alpha = softmax_i(w_a . tanh(W_s x_i + b_s + W_hs q))
        context_c = beta_c sum_i alpha_i x_ic

    The second attention sees what the first has weighed: in the order "channel-spatial" (the paper's better one) the
    regions beta * x_i, in "spatial-channel" the mean of the regions alpha_i x_i. `StagedChannelSpatial` does so on
    several layers of the CNN, one after the other.

    Args:
        rescale: multiply alpha by the number of regions and beta by that of the features, as in the released code but
            not in the paper: uniform attention then changes nothing, where it would shrink the features a thousandfold.

    `weights` are alpha. There are no parts: every feature looks where alpha does, only with another strength.
    Time for each query: N E + C E, and in the order "channel-spatial" N C E, as the regions must be projected anew for
    each query; memory N E + C E, and there N C more.
    """

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        hidden_dim: int = 512,
        order: Literal["channel-spatial", "spatial-channel"] = "channel-spatial",
        rescale: bool = True,
    ) -> None:
        super().__init__()
        self.kind = order
        self.channels_first = order == "channel-spatial"
        self.rescale = rescale
        self.channel = AdditiveScore(query_dim, 1, hidden_dim)
        self.spatial = AdditiveScore(query_dim, key_dim, hidden_dim)
        self.distribution = Softmax()

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N K"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> PreparedKeys:
        """Of the attention that comes first, the part that needs no query: [B C E] or [B N E].

        Raises:
            ValueError: other values than the keys.
        """
        refuse_values(values, "ChannelSpatial weighs the features of the keys")
        if not self.channels_first:
            return PreparedKeys(self.spatial.project(keys), keys, keep, None)
        mean = expected_value(even_weights(keep, keys).unsqueeze(1), keys)  # [B 1 C]
        return PreparedKeys(self.channel.project(mean.transpose(1, 2)), keys, keep, None)

    def forward(self, query: Float[Tensor, "B Q E"], keys: PreparedKeys, step: int = 0) -> AttentionOutput:
        """Context [B Q C] and weights [B Q N]."""
        beta, alpha, seen = self.weigh(query, keys)
        return AttentionOutput(beta * seen, alpha)

    def weigh(
        self, query: Float[Tensor, "B Q E"], keys: PreparedKeys
    ) -> tuple[Float[Tensor, "B Q C"], Float[Tensor, "B Q N"], Float[Tensor, "B Q C"]]:
        """beta, multiplied by C where it is rescaled; alpha, not multiplied; and sum_i alpha_i x_i."""
        shape, each = query.shape[:2], query.flatten(0, 1).unsqueeze(1)  # [B*Q 1 E]: a query with keys of its own
        keep = keys.keep.unsqueeze(1)
        if self.channels_first:
            beta = self._scaled(self.distribution(self.channel(query, keys.projected)), keys.values)  # [B Q C]
            weighed = (beta.unsqueeze(2) * keys.values.unsqueeze(1)).flatten(0, 1)  # [B*Q N C]
            logits = self.spatial(each, self.spatial.project(weighed)).squeeze(1).unflatten(0, shape)
            alpha = self.distribution(logits, keep)
            return beta, alpha, expected_value(alpha, keys.values)
        alpha = self.distribution(self.spatial(query, keys.projected), keep)
        seen = expected_value(alpha, keys.values)  # [B Q C]
        mean = seen if self.rescale else seen / keep.sum(-1, keepdim=True).clamp(min=1)
        channels = self.channel.project(mean.flatten(0, 1).unsqueeze(-1))  # [B*Q C E]
        beta = self.distribution(self.channel(each, channels).squeeze(1).unflatten(0, shape))
        return self._scaled(beta, seen), alpha, seen

    def _scaled(self, beta: Float[Tensor, "B Q C"], like: Tensor) -> Float[Tensor, "B Q C"]:
        return (beta * beta.shape[-1] if self.rescale else beta).to(like.dtype)


def place_width(what: str, key_dim: int, widths: list[int]) -> int:
    """How many features of a place keys have after those of several sources or stages side by side.

    Raises:
        ValueError: the widths do not come to that of the keys.
    """
    place = key_dim - sum(widths)
    if place not in (0, PLACE) or min(widths, default=0) < 1:
        raise ValueError(
            f"the {what}' widths {widths} come to {sum(widths)}, the keys are {key_dim} wide: give the widths of"
            f" the encoder's stages, which leave nothing over but the {PLACE} features of its geometry"
        )
    return place


def refuse_values(values: Tensor | None, reason: str) -> None:
    if values is not None:
        raise ValueError(f"{reason}: give no values beside them")


class SourceMixture(nn.Module):
    """w = sum_m alpha_m w'_m with alpha = softmax_m(a . e_m + b) (Kiela et al. 2018, "Dynamic Meta-Embeddings").

    The evidence e_m is the source w'_m itself, or what has been made of it (their contextualised form).
    """

    def __init__(self, evidence_dim: int, distribution: Distribution | None = None) -> None:
        super().__init__()
        self.score = nn.Linear(evidence_dim, 1)
        self.distribution = distribution or Softmax()

    def forward(
        self,
        sources: Float[Tensor, "*B M D"],
        evidence: Float[Tensor, "*B M E"] | None = None,
        known: Bool[Tensor, "*#B M"] | None = None,
    ) -> tuple[Float[Tensor, "*B D"], Float[Tensor, "*B M"]]:
        """The mixture of M sources and their shares; a source that is not `known` has none."""
        shares = self.distribution(self.score(sources if evidence is None else evidence).squeeze(-1), known)
        return expected_value(shares.unsqueeze(-2), sources).squeeze(-2), shares


class SourceChoice(nn.Module):
    """sum_m alpha_m z_m with alpha = softmax_m(a . tanh(W_z z_m + W_q q)): the sources that a query chooses."""

    def __init__(
        self, query_dim: int, dim: int, hidden_dim: int = 512, distribution: Distribution | None = None
    ) -> None:
        super().__init__()
        self.score = AdditiveScore(query_dim, dim, hidden_dim)
        self.distribution = distribution or Softmax()

    def forward(
        self, query: Float[Tensor, "B Q E"], sources: Float[Tensor, "B Q M D"]
    ) -> tuple[Float[Tensor, "B Q D"], Float[Tensor, "B Q M"]]:
        """The mixture of the M sources that each query has of its own, and their shares."""
        each = query.flatten(0, 1).unsqueeze(1)  # [B*Q 1 E]
        logits = self.score(each, self.score.project(sources.flatten(0, 1)))
        shares = self.distribution(logits.squeeze(1).unflatten(0, query.shape[:2]))
        return expected_value(shares.unsqueeze(2), sources).squeeze(2), shares


class MixedKeys(NamedTuple):
    """The S = M sources of each region, or their mixture (S = 1), and then the shares of the sources in it."""

    projected: Float[Tensor, "B SN P"]  # source by source, as the score wants them
    values: Float[Tensor, "B S N W"]
    keep: Bool[Tensor, "B N"]
    shares: Float[Tensor, "B M N"] | None


class MixedSources(AttentionMechanism[MixedKeys]):
    """Regions as several sources, such as stages of a CNN, see them, side by side in the keys (multi-representational).

        w'_im = P_m x_im + b_m                                                (one width for all sources)
        per "position": alpha_im = softmax_m(a . w'_im + b),  w_i = sum_m alpha_im w'_im,
                        p_i = softmax_i(score(q, w_i)),       context = W sum_i p_i w_i
        per "query":    p_im = softmax_i(score(q, w'_im)),    z_m = sum_i p_im w'_im,
                        alpha_m = softmax_m(a . tanh(W_z z_m + W_q q)),  context = W sum_m alpha_m z_m

    "position" is the dynamic meta-embedding of Kiela et al. 2018 (equations 1-3) with regions for words: all of it but
    the look is worked out once per picture. "query" lets each look choose its sources, at M times the look's cost.

    Args:
        widths: of the sources, in the keys' order. The keys may have `PLACE` features more at their end (an encoder's
            `geometry`): a region's place, which every source is told.
        source_dim: the common width; None takes that of the keys, without the linear map W.
        score: of the look; it is built for the keys' width, so that `source_dim` must be None. None is additive.
        mixture: how the sources share; softmax, or sigmoid for gates that do not compete.
        hidden_dim: of the additive scores.

    `parts` are each source's share of the look, alpha_im p_i or alpha_m p_im: they add up to `weights`, unless the
    sources do not compete.

    Raises:
        ValueError: the widths do not come to that of the keys, or both `source_dim` and `score` are given.
    """

    part_axis = "source"

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        widths: list[int],
        per: Literal["position", "query"] = "position",
        source_dim: int | None = None,
        score: Score | None = None,
        mixture: Distribution | None = None,
        hidden_dim: int = 512,
    ) -> None:
        super().__init__()
        place = place_width("sources", key_dim, widths)
        if score is not None and source_dim is not None:
            raise ValueError("a score of its own is as wide as the keys: leave source_dim or score out")
        self.kind = f"mixed sources per {per}"
        self.sizes = [*widths, place]
        width = source_dim or key_dim
        self.sources = nn.ModuleList(nn.Linear(size + place, width) for size in widths)
        self.score = score or AdditiveScore(query_dim, width, hidden_dim)
        self.mixture = SourceMixture(width, mixture) if per == "position" else None
        self.choice = SourceChoice(query_dim, width, hidden_dim, mixture) if per == "query" else None
        self.distribution = Softmax()
        self.join = nn.Linear(width, key_dim, bias=False) if source_dim else nn.Identity()

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N K"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> MixedKeys:
        """The sources of the keys [B N K] at their common width, and per position their mixture.

        Raises:
            ValueError: other values than the keys.
        """
        refuse_values(values, "MixedSources mixes the sources of the keys")
        *sources, place = keys.split(self.sizes, -1)
        common = torch.stack(
            [bring(torch.cat([source, place], -1)) for bring, source in zip(self.sources, sources, strict=True)], 1
        )  # [B M N W]
        shares = None
        if self.mixture is not None:
            mixed, shares = self.mixture(common.transpose(1, 2))
            common, shares = mixed.unsqueeze(1), shares.transpose(1, 2)
        return MixedKeys(self.score.project(common.flatten(1, 2)), common, keep, shares)

    def forward(self, query: Float[Tensor, "B Q E"], keys: MixedKeys, step: int = 0) -> AttentionOutput:
        """Context [B Q D], weights [B Q N] and the share of each source in them [B Q M N]."""
        logits = self.score(query, keys.projected).unflatten(-1, keys.values.shape[1:3])  # [B Q S N]
        looks = self.distribution(logits, keys.keep[:, None, None])
        seen = expected_value(looks.transpose(1, 2), keys.values).transpose(1, 2)  # [B Q S W]
        if self.choice is not None:
            context, chosen = self.choice(query, seen)
            parts = chosen.unsqueeze(-1) * looks  # [B Q M N]
            return AttentionOutput(self.join(context), parts.sum(2), parts=parts)
        assert keys.shares is not None  # the mixture has worked them out
        parts = keys.shares.unsqueeze(1) * looks  # [B Q M N]
        return AttentionOutput(self.join(seen.squeeze(2)), looks.squeeze(2), parts=parts)
