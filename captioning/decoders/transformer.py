"""Captioners without recurrence: the transformer (Vaswani et al. 2017), the meshed-memory one (Cornia et al. 2020)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from typing_extensions import Self

from captioning.decoders.base import Decoder, TeacherForced
from common.attention import AttentionOutput, VisualFeatures
from common.attention.transformer import MultiHeadAttention, ProjectedKeys, TransformerLayer, feed_forward, sinusoids
from common.search import Step
from common.search.decoder import word_log_probs

Mesh = Literal["paper", "code"]
# Keys and values, as one layer's heads see them, of the words so far of each sequence.
Past = tuple[Float[Tensor, "B Q H _ d"], Float[Tensor, "B Q H _ d"]]


class RegionEncoder(nn.Module):
    """Regions that look at each other, and at `memory_slots` learned items, in each layer."""

    def __init__(
        self, region_dim: int, dim: int, heads: int, layers: int, dropout: float = 0.1, memory_slots: int = 0
    ) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(region_dim, dim), nn.ReLU(), nn.Dropout(dropout), nn.LayerNorm(dim))
        self.layers = nn.ModuleList(TransformerLayer(dim, heads, dropout, "after", memory_slots) for _ in range(layers))

    def forward(self, regions: Float[Tensor, "B R E"], keep: Bool[Tensor, "B R"]) -> list[Float[Tensor, "B R D"]]:
        """What each layer makes of the regions, lowest first."""
        outputs = [self.project(regions)]
        for layer in self.layers:
            outputs.append(layer(outputs[-1], keep)[0])
        return outputs[1:]


class CrossAttention(nn.Module):
    """From words Y to regions, a residual and a norm; `mesh` brings L layers of the encoder together.

        None:     LN(Y + C(Y, X)),  X the last layer                                            (Vaswani et al. 2017)
        "paper":  LN(Y + sum_i a_i * C_i / sqrt(L)),  C_i = C(Y, X_i)            (Cornia et al. 2020, equations 4-6)
        "code":   sum_i a_i * C_i / sqrt(L),  C_i = LN(Y + C(Y, X_i))                                    (as released)

    C is one multi-head attention for all layers, a_i = sigmoid(W_i [Y; C_i] + b_i).
    """

    def __init__(self, dim: int, heads: int, layers: int, dropout: float = 0.1, mesh: Mesh | None = None) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, dropout)
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.gates = nn.ModuleList(nn.Linear(2 * dim, dim) for _ in range(layers if mesh else 0))
        self.mesh = mesh

    def forward(
        self, words: Float[Tensor, "B N D"], regions: Sequence[ProjectedKeys]
    ) -> tuple[Float[Tensor, "B N D"], AttentionOutput]:
        """Words [B N D] that have looked; the weights are the mean over heads, and over the encoder's layers.

        regions: of each encoder layer where there is a mesh, else of the last alone.
        """
        looks = self.attention.attend_each(words, regions)
        contexts = [context for context, _ in looks]
        heads = torch.stack([weights for _, weights in looks]).mean(0).transpose(1, 2)  # [B N H R]
        if self.mesh == "code":
            looked = context = self._gated(words, [self._add(words, each) for each in contexts])
        else:
            context = self._gated(words, contexts) if self.mesh else contexts[0]
            looked = self._add(words, context)
        return looked, AttentionOutput(context, heads.mean(2), parts=heads)

    def _add(self, words: Float[Tensor, "B N D"], context: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        return self.norm(words + self.dropout(context))

    def _gated(
        self, words: Float[Tensor, "B N D"], contexts: Sequence[Float[Tensor, "B N D"]]
    ) -> Float[Tensor, "B N D"]:
        """sum_i a_i * C_i / sqrt(L)."""
        gated = [
            gate(torch.cat([words, context], -1)).sigmoid() * context
            for gate, context in zip(self.gates, contexts, strict=True)
        ]
        return torch.stack(gated).sum(0) / math.sqrt(len(gated))


class DecoderLayer(nn.Module):
    """Words look at those before them, then at the regions; each with a residual and a norm after, as the third part.

    Y = LN(Y + MHA(Y, Y, Y)),  Y = cross(Y, X),  Y = LN(Y + FFN(Y))
    """

    def __init__(self, dim: int, heads: int, layers: int, dropout: float = 0.1, mesh: Mesh | None = None) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(dim, heads, dropout)
        self.attention_norm = nn.LayerNorm(dim)
        self.cross = CrossAttention(dim, heads, layers, dropout, mesh)
        self.feed_forward = feed_forward(dim, dropout)
        self.feed_forward_norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self,
        words: Float[Tensor, "B Q T D"],
        past: Past,
        seen: Bool[Tensor, "1 T S"],
        regions: Sequence[ProjectedKeys],
    ) -> tuple[Float[Tensor, "B Q T D"], Past, AttentionOutput]:
        """T more words [B Q T D] of each sequence, the past with them, and where they looked, [B Q*T R].

        seen: which of all S words so far each of the new ones may look at.
        """
        flat = words.flatten(0, 1)  # [N T D]
        keys, values, _ = self.attention.project(flat, seen.new_ones(flat.shape[:2]))
        keys, values = (
            torch.cat([before, new.unflatten(0, words.shape[:2])], 3)
            for before, new in zip(past, (keys, values), strict=True)
        )
        context = self.attention.context(flat, ProjectedKeys(keys.flatten(0, 1), values.flatten(0, 1), seen))
        flat = self.attention_norm(flat + self.dropout(context))
        looked, attention = self.cross(flat.view(words.shape).flatten(1, 2), regions)
        looked = self.feed_forward_norm(looked + self.dropout(self.feed_forward(looked)))
        return looked.view(words.shape), (keys, values), attention


class TransformerState(NamedTuple):
    """The words so far as each layer's heads see them, and the regions, shared by all sequences, for each layer."""

    past: list[Past]
    regions: list[list[ProjectedKeys]]

    def reorder(self, parents: Int[Tensor, "B Q"]) -> Self:
        """The state whose sequence q continues sequence parents[q]; the regions are shared, not moved."""
        pictures = torch.arange(len(parents), device=parents.device).unsqueeze(1)
        return self._replace(past=[(keys[pictures, parents], values[pictures, parents]) for keys, values in self.past])


class TransformerDecoder(Decoder[TransformerState]):
    """Encoder and decoder made of multi-head attention alone, normalised after each residual (Vaswani et al. 2017).

    With `memory_slots` and `mesh` it is the meshed-memory transformer (Cornia et al. 2020; 40 slots, dim 512, 8 heads,
    3 layers). Their released code has three faults that are not here: its sinusoids become noise when the model is
    initialised, its mask takes one region in fifty for padding and no padding for such, and it drops words that stand
    twice in a row before captions are scored.

    Regions have no position but what the encoder's features say of it (`geometry`). Given captions are run through in
    parallel; word by word, keys and values of the words before are kept, and those of the regions are projected once.

    The weights are those of the last layer, the mean over its heads (and over the encoder's layers where it is meshed);
    the parts are the heads. A region has looked at others in the encoder, so that weights say what was read, and where
    it came from only so far as a region stays itself.

    Args:
        layers: of the encoder, and as many of the decoder.
        memory_slots: learned items beside the regions in each layer of the encoder.
        mesh: the decoder looks at every layer of the encoder, as in the "paper" or as in the released "code" (see
            `CrossAttention`); None looks at the last.

    Raises:
        ValueError: the heads do not divide the width.
    """

    kind = "multi-head"
    part_axis = "head"
    layers: Sequence[DecoderLayer]

    def __init__(
        self,
        vocabulary_size: int,
        region_dim: int,
        dim: int = 512,
        heads: int = 8,
        layers: int = 3,
        dropout: float = 0.1,
        memory_slots: int = 0,
        mesh: Mesh | None = None,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} is no multiple of {heads} heads")
        self.encoder = RegionEncoder(region_dim, dim, heads, layers, dropout, memory_slots)
        self.layers = nn.ModuleList(  # type: ignore[assignment]
            DecoderLayer(dim, heads, layers, dropout, mesh) for _ in range(layers)
        )
        self.embedding = nn.Embedding(vocabulary_size, dim)
        self.output = nn.Linear(dim, vocabulary_size)
        self.dropout = nn.Dropout(dropout)
        self.looked_at = slice(None) if mesh else slice(-1, None)  # of the encoder's layers
        nn.init.normal_(self.embedding.weight, std=dim**-0.5)

    def start(self, features: VisualFeatures, sequences: int = 1) -> TransformerState:
        """The state before the first word: no past; the regions [B R E] as every layer wants them."""
        outputs = self.encoder(features.values, features.keep)[self.looked_at]
        regions = [
            [layer.cross.attention.project(output, features.keep) for output in outputs] for layer in self.layers
        ]
        batch, heads, _, width = regions[0][0].keys.shape
        nothing = regions[0][0].keys.new_zeros(batch, sequences, heads, 0, width)
        return TransformerState([(nothing, nothing)] * len(self.layers), regions)

    def step(self, tokens: Int[Tensor, "B Q"], state: TransformerState) -> Step[TransformerState]:
        """Log-probabilities [B Q V] of the next word after `tokens`."""
        words, state, attention = self._advance(tokens.unsqueeze(-1), state)
        return Step(self._log_probs(words.squeeze(2)), state, attention)

    def forward(
        self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]
    ) -> TeacherForced:
        """Log-probabilities [M V] of what follows each valid word of given captions [B Q T]."""
        words, _, attention = self._advance(tokens, self.start(features, tokens.shape[1]))
        assert attention.parts is not None
        weights, heads = (each.unflatten(1, tokens.shape[1:]) for each in (attention.weights, attention.parts))
        return TeacherForced(self._log_probs(words[keep]), weights, parts=heads)

    def _advance(
        self, tokens: Int[Tensor, "B Q T"], state: TransformerState
    ) -> tuple[Float[Tensor, "B Q T D"], TransformerState, AttentionOutput]:
        """T more words of each sequence: what the last layer makes of them, the new state, the last layer's looks."""
        before, more = state.past[0][0].shape[3], tokens.shape[2]
        position = sinusoids(torch.arange(before, before + more, device=tokens.device), self.embedding.embedding_dim)
        words = math.sqrt(self.embedding.embedding_dim) * self.embedding(tokens)
        words = self.dropout(words + position.to(words.dtype))
        seen = torch.ones(1, more, before + more, dtype=torch.bool, device=tokens.device).tril(before)
        pasts = []
        for layer, past, regions in zip(self.layers, *state, strict=True):
            words, past, attention = layer(words, past, seen, regions)
            pasts.append(past)
        return words, state._replace(past=pasts), attention

    def _log_probs(self, words: Float[Tensor, "*M D"]) -> Float[Tensor, "*M V"]:
        return word_log_probs(self.output(words))
