"""Co-attention of a text and a picture, parallel and alternating (Lu et al. 2016, "Hierarchical Question-Image
Co-Attention"; the released code where its results differ from the paper's equations).

Shapes: B pictures of R regions, Q questions about each, T words in a question, all of width D; hidden width E. What
depends on the picture alone is computed once for all of its questions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.attention import Attention
from common.attention.distributions import Softmax
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, expected_value
from common.attention.scores import FeatureScore
from common.attention.squash import fast_tanh


class CoAttentionOutput(NamedTuple):
    """Both summaries and where each looked.

    region_parts: the weights over the regions of each of P heads, hops, glimpses, ..., as `part_axis` names them; None
    where there is but one distribution.
    """

    words: Float[Tensor, "B Q S"]
    regions: Float[Tensor, "B Q S"]
    word_weights: Float[Tensor, "B Q T"]
    region_weights: Float[Tensor, "B Q R"]
    region_parts: Float[Tensor, "B Q P R"] | None = None


class CoAttention(nn.Module, ABC):
    """Attends to words and regions jointly. `kind` and `part_axis` as of an `AttentionMechanism`.

    summary_dim: the width of both summaries; None where it is that of the words.
    """

    kind: str
    part_axis: str | None = None
    summary_dim: int | None = None

    def __init__(self) -> None:
        super().__init__()
        self.distribution = Softmax()

    def attend_words(
        self, logits: Float[Tensor, "B Q T"], words: Float[Tensor, "B Q T D"], keep: Bool[Tensor, "B Q T"]
    ) -> tuple[Float[Tensor, "B Q D"], Float[Tensor, "B Q T"]]:
        """The weighted sum of each question's words, and the weights."""
        weights = self.distribution(logits, keep)
        return expected_value(weights.unsqueeze(2), words).squeeze(2), weights

    def attend_regions(
        self, logits: Float[Tensor, "B Q R"], regions: Float[Tensor, "B R D"], keep: Bool[Tensor, "B R"]
    ) -> tuple[Float[Tensor, "B Q D"], Float[Tensor, "B Q R"]]:
        """The weighted sum of the regions for each question, and the weights."""
        weights = self.distribution(logits, keep.unsqueeze(1))
        return expected_value(weights, regions), weights

    @abstractmethod
    def forward(
        self,
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
        layout: Grid | Boxes | None = None,
    ) -> CoAttentionOutput:
        """Summaries [B Q D] of words and regions, weights [B Q T] and [B Q R]."""


def _has_biases(variant: str) -> bool:
    """The released code of Lu et al. has biases everywhere, the paper has none."""
    if variant not in ("paper", "code"):
        raise ValueError(f"variant is 'paper' or 'code', got {variant!r}")
    return variant == "code"


class ParallelCoAttention(CoAttention):
    """Words and regions attend to each other at once, through an affinity matrix (equations 3-5).

        C   = tanh(Q W_b V^T)
        H_v = tanh(V W_v + C^T (Q W_q)),  H_q = tanh(Q W_q + C (V W_v))
        a_v = softmax(H_v w_hv),          a_q = softmax(H_q w_hq)

    `mask_affinity` zeroes C at invalid words and regions, so that padding cannot leak into the other side through it;
    the released code does not.
    """

    kind = "parallel co-attention"

    def __init__(
        self,
        dim: int,
        hidden_dim: int | None = None,
        dropout: float = 0.0,
        variant: Literal["paper", "code"] = "paper",
        mask_affinity: bool = True,
    ) -> None:
        super().__init__()
        hidden_dim = hidden_dim or dim
        bias = _has_biases(variant)
        self.mask_affinity = mask_affinity
        self.map_affinity = nn.Linear(dim, dim, bias)
        self.map_words = nn.Linear(dim, hidden_dim, bias)
        self.map_regions = nn.Linear(dim, hidden_dim, bias)
        self.score_words = nn.Linear(hidden_dim, 1, bias)
        self.score_regions = nn.Linear(hidden_dim, 1, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
        layout: Grid | Boxes | None = None,
    ) -> CoAttentionOutput:
        """Summaries [B Q D] of words and regions, weights [B Q T] and [B Q R]."""
        shape = words.shape[1:3]  # Q T
        affinity = fast_tanh(self.map_affinity(words).flatten(1, 2) @ regions.transpose(1, 2))  # [B Q*T R]
        if self.mask_affinity:
            affinity = affinity * (word_keep.flatten(1).unsqueeze(2) & region_keep.unsqueeze(1))
        word_part, region_part = self.map_words(words), self.map_regions(regions)  # [B Q T E], [B R E]
        # In place: these are by far the largest tensors, and no product needs its own result for its gradient.
        word_hidden = fast_tanh((affinity @ region_part).unflatten(1, shape).add_(word_part))
        from_words = affinity.unflatten(1, shape).transpose(2, 3) @ word_part  # [B Q R E]
        region_hidden = fast_tanh(from_words.add_(region_part.unsqueeze(1)))
        region_logits = self.score_regions(self.dropout(region_hidden)).squeeze(-1)  # [B Q R]
        word_logits = self.score_words(self.dropout(word_hidden)).squeeze(-1)  # [B Q T]
        region_summary, region_weights = self.attend_regions(region_logits, regions, region_keep)
        word_summary, word_weights = self.attend_words(word_logits, words, word_keep)
        return CoAttentionOutput(word_summary, region_summary, word_weights, region_weights)


class GuidedAttention(nn.Module):
    """The logits H w of the operator A(X; g), with H = tanh(X W_x + 1 (W_g g)^T) (Lu et al. 2016, equation 6).

    `guided`: False for the first step, whose g is zero.
    """

    def __init__(self, dim: int, hidden_dim: int, bias: bool, dropout: float, guided: bool) -> None:
        super().__init__()
        self.map_items = nn.Linear(dim, hidden_dim, bias)
        self.map_guide = nn.Linear(dim, hidden_dim, bias) if guided else None
        self.score = nn.Linear(hidden_dim, 1, bias)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, items: Float[Tensor, "B #Q N D"], guide: Float[Tensor, "B Q D"] | None = None
    ) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N] of the items for each question's guide."""
        mapped = self.map_items(items)
        if self.map_guide is not None and guide is not None:
            mapped = mapped + self.map_guide(guide).unsqueeze(2)  # [B Q N E]
        return self.score(self.dropout(fast_tanh(mapped))).squeeze(-1)


class AlternatingCoAttention(CoAttention):
    """Words, then regions guided by the words' summary, then words guided by the regions' (section 3.3, figure 2b).

    The three steps have parameters of their own, as in the released code.
    """

    kind = "alternating co-attention"

    def __init__(
        self,
        dim: int,
        hidden_dim: int | None = None,
        dropout: float = 0.0,
        variant: Literal["paper", "code"] = "paper",
    ) -> None:
        super().__init__()
        sizes = (dim, hidden_dim or dim, _has_biases(variant), dropout)
        self.first_words = GuidedAttention(*sizes, guided=False)
        self.guided_regions = GuidedAttention(*sizes, guided=True)
        self.guided_words = GuidedAttention(*sizes, guided=True)

    def forward(
        self,
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
        layout: Grid | Boxes | None = None,
    ) -> CoAttentionOutput:
        """Summaries [B Q D] of words and regions, weights [B Q T] and [B Q R]."""
        summary, _ = self.attend_words(self.first_words(words), words, word_keep)
        region_logits = self.guided_regions(regions.unsqueeze(1), summary)
        region_summary, region_weights = self.attend_regions(region_logits, regions, region_keep)
        word_logits = self.guided_words(words, region_summary)
        word_summary, word_weights = self.attend_words(word_logits, words, word_keep)
        return CoAttentionOutput(word_summary, region_summary, word_weights, region_weights)


class QuestionGuided(CoAttention):
    """Distinctive attention: a summary of the question is the query that looks at the regions; no look goes back.

    Makes any mechanism a part of a VQA model (Chaudhari et al., section 3.1; Yang et al. 2016 with `StackedAttention`).

    Args:
        attention: from the question's summary to the regions.
        pooling: from the mean of the valid words to the words; None pools by what each word says alone (Yang et al.
            2016b, "Hierarchical Attention Networks", equations 5-7).
    """

    def __init__(
        self,
        dim: int,
        attention: AttentionMechanism,
        pooling: AttentionMechanism | None = None,
    ) -> None:
        super().__init__()
        self.attention = attention
        self.pooling = pooling or Attention(FeatureScore(key_dim=dim, hidden_dim=dim))

    @property
    def kind(self) -> str:  # type: ignore[override]
        """The kind of its attention."""
        return self.attention.kind

    @property
    def part_axis(self) -> str | None:  # type: ignore[override]
        """What the parts of its attention are."""
        return self.attention.part_axis

    def forward(
        self,
        words: Float[Tensor, "B Q T D"],
        word_keep: Bool[Tensor, "B Q T"],
        regions: Float[Tensor, "B R D"],
        region_keep: Bool[Tensor, "B R"],
        layout: Grid | Boxes | None = None,
    ) -> CoAttentionOutput:
        """Summaries [B Q D] of words and regions, weights [B Q T] and [B Q R]."""
        texts, valid = words.flatten(0, 1), word_keep.flatten(0, 1)  # [B*Q T D]
        share = valid.to(texts.dtype) / valid.sum(-1, keepdim=True).clamp(min=1)  # [B*Q T]
        mean = expected_value(share.unsqueeze(1), texts)  # [B*Q 1 D]
        pooled = self.pooling(mean, self.pooling.prepare(texts, valid))
        shape = words.shape[:2]
        question = pooled.context.squeeze(1).unflatten(0, shape)  # [B Q D]
        looked = self.attention(question, self.attention.prepare(regions, region_keep, layout=layout))
        word_weights = pooled.weights.squeeze(1).unflatten(0, shape)
        return CoAttentionOutput(question, looked.context, word_weights, looked.weights, looked.parts)
