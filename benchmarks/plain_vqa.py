"""Two VQA models as most code writes them, with the weights of ours.

The picture is repeated for each of its questions, a loop over the words makes the LSTM, and what the equations name
several times is computed several times.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from common.attention import ParallelCoAttention
from common.attention.guided import AttentionFlattening, AttentionUnit, GuidedCoAttention
from common.attention.transformer import MultiHeadAttention
from common.encoders import HierarchicalTextEncoder, RecurrentTextEncoder
from vqa.models import HierarchicalCoAttention, ModularCoAttentionNetwork


class PlainHierarchical(nn.Module):
    """Lu et al. 2016, parallel co-attention, equations 2-7. The regions are embedded for each level anew."""

    def __init__(self, ours: HierarchicalCoAttention) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, regions: Float[Tensor, "B R V"], tokens: Int[Tensor, "B Q T"]) -> Float[Tensor, "N A"]:
        """Logits of the N = B Q questions."""
        ours = self.ours
        repeated = regions.repeat_interleave(tokens.shape[1], 0)  # [N R V]
        attended = [
            look_in_parallel(level, words, ours.embed_regions(repeated))
            for level, words in zip(ours.levels, self._levels(tokens.flatten(0, 1)), strict=True)
        ]
        return ours.classify(ours.recursion(attended))

    def _levels(self, tokens: Int[Tensor, "N T"]) -> list[Tensor]:
        text = self.ours.text
        assert isinstance(text, HierarchicalTextEncoder)
        words = torch.tanh(nn.functional.embedding(tokens, text.embedding.weight))  # type: ignore[arg-type]
        sequence = words.transpose(1, 2)
        grams = [
            convolve(nn.functional.pad(sequence, (0, size - 1))) for size, convolve in enumerate(text.convolutions, 1)
        ]
        phrases = torch.tanh(torch.stack(grams, 3).max(3).values.transpose(1, 2))
        return [words, phrases, read_word_by_word(text.lstm, phrases)]


class PlainModular(nn.Module):
    """Yu et al. 2019 (MCAN), encoder-decoder. All the layers of the regions are computed for each question."""

    def __init__(self, ours: ModularCoAttentionNetwork) -> None:
        super().__init__()
        self.ours = ours

    def forward(self, regions: Float[Tensor, "B R V"], tokens: Int[Tensor, "B Q T"]) -> Float[Tensor, "N A"]:
        """Logits of the N = B Q questions."""
        ours, text, co = self.ours, self.ours.text, self.ours.attention
        assert isinstance(text, RecurrentTextEncoder)
        assert isinstance(co, GuidedCoAttention)
        embedded = nn.functional.embedding(tokens.flatten(0, 1), text.embedding.weight)  # type: ignore[arg-type]
        words = read_word_by_word(text.recurrence, embedded)
        for look, think in zip(co.words_to_words, co.word_maps, strict=True):
            words = look_with_heads(look, words, words)  # type: ignore[arg-type]
            words = think.norm(words + think.map(words))  # type: ignore[operator]
        seen = ours.embed_regions(regions.repeat_interleave(tokens.shape[1], 0))
        for own, guided, think in zip(co.regions_to_regions, co.regions_to_words, co.region_maps, strict=True):
            seen = look_with_heads(own, seen, seen)  # type: ignore[arg-type]
            seen = look_with_heads(guided, seen, words)  # type: ignore[arg-type]
            seen = think.norm(seen + think.map(seen))  # type: ignore[operator]
        return ours.map_answers(ours.norm(flatten(co.flatten_words, words) + flatten(co.flatten_regions, seen)))


def look_in_parallel(
    level: nn.Module, words: Float[Tensor, "N T D"], regions: Float[Tensor, "N R D"]
) -> Float[Tensor, "N D"]:
    """The sum of both summaries (equations 3-5), each projection where it is named."""
    assert isinstance(level, ParallelCoAttention)
    affinity = torch.tanh(level.map_affinity(words) @ regions.transpose(1, 2))  # [N T R]
    of_regions = torch.tanh(level.map_regions(regions) + affinity.transpose(1, 2) @ level.map_words(words))
    of_words = torch.tanh(level.map_words(words) + affinity @ level.map_regions(regions))
    where = torch.softmax(level.score_regions(of_regions), 1)
    which = torch.softmax(level.score_words(of_words), 1)
    return (where * regions).sum(1) + (which * words).sum(1)


def look_with_heads(
    unit: AttentionUnit, items: Float[Tensor, "N M D"], guide: Float[Tensor, "N K D"]
) -> Float[Tensor, "N M D"]:
    """LN(x + MHA(x, y, y)) with all weights of all heads written down."""
    look: MultiHeadAttention = unit.attention
    query, key, value = (
        each.view(*each.shape[:2], look.heads, -1).transpose(1, 2)
        for each in (look.map_query(items), look.map_key(guide), look.map_value(guide))
    )
    weights = torch.softmax(query @ key.transpose(2, 3) / math.sqrt(query.shape[-1]), -1)
    return unit.norm(items + look.join((weights @ value).transpose(1, 2).flatten(2)))


def flatten(look: AttentionFlattening, items: Float[Tensor, "N M D"]) -> Float[Tensor, "N S"]:
    """Equation 5, glimpse by glimpse."""
    weights = torch.softmax(look.score(items), 1)  # [N M G]
    return look.join(torch.cat([(each.unsqueeze(-1) * items).sum(1) for each in weights.unbind(2)], 1))


def read_word_by_word(lstm: nn.LSTM, words: Float[Tensor, "N T E"]) -> Float[Tensor, "N T D"]:
    """The states after each word."""
    for layer in lstm.all_weights:
        of_input, of_state, input_bias, state_bias = layer
        hidden = cell = words.new_zeros(len(words), lstm.hidden_size)
        states = []
        for word in words.unbind(1):
            gates = nn.functional.linear(word, of_input, input_bias) + nn.functional.linear(
                hidden, of_state, state_bias
            )
            write, forget, candidate, read = gates.chunk(4, 1)
            cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
            hidden = read.sigmoid() * cell.tanh()
            states.append(hidden)
        words = torch.stack(states, 1)
    return words
