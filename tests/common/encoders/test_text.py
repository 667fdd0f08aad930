from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.encoders import DirectionalTextEncoder, HierarchicalTextEncoder, TextEncoder, TransformerTextEncoder
from common.errors import DataError

Variant = Literal["paper", "code"]
Array = NDArray[np.float64]
VOCABULARY, DIM = 11, 4


def _hierarchical(variant: Variant = "paper", layers: int = 2, dropout: float = 0.5) -> HierarchicalTextEncoder:
    torch.manual_seed(0)
    return HierarchicalTextEncoder(VOCABULARY, DIM, layers, dropout, variant).double().eval()


def _transformer(layers: int = 2, dropout: float = 0.1, longest: int = 16) -> TransformerTextEncoder:
    torch.manual_seed(0)
    return TransformerTextEncoder(VOCABULARY, DIM, layers, heads=2, dropout=dropout, longest=longest).double().eval()


def _directional(dropout: float = 0.1) -> DirectionalTextEncoder:
    torch.manual_seed(0)
    return DirectionalTextEncoder(VOCABULARY, DIM, dropout).double().eval()


ENCODERS: dict[str, TextEncoder] = {
    "paper": _hierarchical("paper"),
    "code": _hierarchical("code"),
    "transformer": _transformer(),
    "directional": _directional(),
}


def _tokens(*texts: list[int]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, texts))
    tokens = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    return tokens, tokens > 0


# What holds for every text encoder


@pytest.mark.parametrize("name", ENCODERS)
def test_there_is_one_feature_per_word_and_level(name: str) -> None:
    encoder = ENCODERS[name]
    features = encoder(*_tokens([4, 5, 6], [7]))
    assert len(features.levels) == len(encoder.level_names)
    assert all(level.shape == (2, 3, encoder.dim) for level in features.levels)
    assert features.keep.tolist() == [[True, True, True], [True, False, False]]


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_padding_changes_nothing_and_is_zero(name: str, length: int) -> None:
    text = [4, 5, 6, 7, 8][:length]
    alone = ENCODERS[name](*_tokens(text))
    padded = ENCODERS[name](*_tokens(text, [9] * 8))
    for short, long in zip(alone.levels, padded.levels, strict=True):
        torch.testing.assert_close(long[:1, :length], short)
        assert not long[0, length:].any()


@pytest.mark.parametrize("name", ENCODERS)
def test_the_ids_at_invalid_positions_do_not_matter(name: str) -> None:
    tokens, keep = _tokens([4, 5], [6, 7, 8])
    other = tokens.clone()
    other[0, 2] = 9
    for one, two in zip(ENCODERS[name](tokens, keep).levels, ENCODERS[name](other, keep).levels, strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_order_of_the_words_matters_above_the_words(name: str) -> None:
    one, two = (ENCODERS[name](*_tokens(text)).levels[-1].sum(1) for text in ([4, 5, 6], [6, 5, 4]))
    assert not torch.allclose(one, two, atol=1e-3)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_text_without_words_gives_finite_zeros(name: str) -> None:
    features = ENCODERS[name](torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3, dtype=torch.bool))
    assert not any(level.any() for level in features.levels)


@pytest.mark.parametrize(
    "encoder",
    [_hierarchical(), _transformer(dropout=0.5), _directional(0.5)],
    ids=["hierarchical", "transformer", "directional"],
)
def test_dropout_is_on_in_training_and_off_at_inference(encoder: TextEncoder) -> None:
    batch = _tokens([4, 5, 6])
    for training in (True, False):
        encoder.train(training)
        one, two = encoder(*batch), encoder(*batch)
        assert [torch.equal(a, b) for a, b in zip(one.levels, two.levels, strict=True)] == [not training] * len(
            one.levels
        )


# Words, phrases, question


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _reference(encoder: HierarchicalTextEncoder, text: list[int], variant: Variant) -> tuple[Array, Array, Array]:
    """The three levels [T D] of one text, word by word."""
    p = {name: tensor.detach().numpy() for name, tensor in encoder.named_parameters()}
    words = np.tanh(p["embedding.weight"][text])
    starts = {"paper": (0, 0, 0), "code": (0, -1, -1)}[variant]  # of the windows of 1, 2, 3 words
    phrases = np.zeros_like(words)
    for t in range(len(text)):
        grams = []
        for size, start in zip((1, 2, 3), starts, strict=True):
            gram = p[f"convolutions.{size - 1}.bias"].copy()
            for offset in range(size):
                if 0 <= t + start + offset < len(text):
                    gram += p[f"convolutions.{size - 1}.weight"][:, :, offset] @ words[t + start + offset]
            grams.append(gram)
        phrases[t] = np.tanh(np.max(grams, axis=0))
    inputs = phrases
    for layer in range(encoder.lstm.num_layers):
        hidden, cell, outputs = np.zeros(DIM), np.zeros(DIM), []
        for x in inputs:
            gates = p[f"lstm.weight_ih_l{layer}"] @ x + p[f"lstm.bias_ih_l{layer}"]
            gates = gates + p[f"lstm.weight_hh_l{layer}"] @ hidden + p[f"lstm.bias_hh_l{layer}"]
            i, f, g, o = np.split(gates, 4)
            cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
            hidden = _sigmoid(o) * np.tanh(cell)
            outputs.append(hidden)
        inputs = np.array(outputs)
    return words, phrases, inputs


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("length", [1, 2, 3, 6])
def test_the_three_levels_equal_the_loops_of_the_reference(variant: Variant, layers: int, length: int) -> None:
    encoder = _hierarchical(variant, layers)
    text = [4, 10, 5, 4, 6, 3][:length]
    features = encoder(*_tokens(text))
    for level, expected in zip(features.levels, _reference(encoder, text, variant), strict=True):
        np.testing.assert_allclose(level[0].detach().numpy(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("variant", "seen_by"), [("paper", {1, 2, 3}), ("code", {2, 3, 4})])
def test_a_phrase_is_aligned_as_published(variant: Variant, seen_by: set[int]) -> None:
    encoder = _hierarchical(variant)
    before, after = (encoder(*_tokens([4, 5, 6, word, 8, 9])) for word in (7, 10))
    words, phrases, question = (
        set((b != a).any(-1)[0].nonzero().flatten().tolist()) for b, a in zip(before.levels, after.levels, strict=True)
    )
    assert words == {3}
    assert phrases == seen_by
    assert question == set(range(min(seen_by), 6))  # the LSTM reads on from the first phrase that changed


def test_a_word_keeps_its_features_wherever_it_stands() -> None:
    words = ENCODERS["paper"](*_tokens([4, 5, 4])).levels[0]
    assert torch.equal(words[0, 0], words[0, 2])


# The transformer


def test_its_layers_equal_pytorchs_own() -> None:
    encoder = _transformer()
    tokens, keep = _tokens([4, 5, 6, 7], [8, 9])
    expected = encoder.embedding(tokens, keep) * DIM**0.5 + encoder.positions[:4]
    levels = encoder(tokens, keep).levels
    torch.testing.assert_close(levels[0], expected * keep.unsqueeze(-1))
    for ours in encoder.layers:
        theirs = nn.TransformerEncoderLayer(DIM, 2, 4 * DIM, 0.0, batch_first=True, norm_first=True).double().eval()
        maps = (ours.attention.map_query, ours.attention.map_key, ours.attention.map_value)
        theirs.self_attn.in_proj_weight.data = torch.cat([linear.weight for linear in maps])
        theirs.self_attn.in_proj_bias.data = torch.cat([linear.bias for linear in maps])
        theirs.self_attn.out_proj.load_state_dict(ours.attention.join.state_dict())
        theirs.linear1.load_state_dict(ours.feed_forward[0].state_dict())
        theirs.linear2.load_state_dict(ours.feed_forward[2].state_dict())
        theirs.norm1.load_state_dict(ours.attention_norm.state_dict())
        theirs.norm2.load_state_dict(ours.feed_forward_norm.state_dict())
        expected = theirs(expected, src_key_padding_mask=~keep)
    torch.testing.assert_close(levels[2], encoder.norm(expected) * keep.unsqueeze(-1))


@pytest.mark.parametrize(
    ("layers", "names"), [(1, ("word", "question")), (3, ("word", "layer 1", "layer 2", "question"))]
)
def test_its_levels_are_the_words_and_each_layer(layers: int, names: tuple[str, ...]) -> None:
    encoder = _transformer(layers)
    assert encoder.level_names == names
    assert len(encoder(*_tokens([4, 5])).levels) == len(names)


def test_a_text_longer_than_the_positions_is_refused() -> None:
    encoder = _transformer(longest=4)
    encoder(*_tokens([4] * 4))
    with pytest.raises(DataError, match="a text of 5 words, the encoder takes 4; raise `longest`"):
        encoder(*_tokens([4] * 5))


# Directional self-attention


def test_each_direction_gives_half_of_the_question() -> None:
    encoder = _directional()
    tokens, keep = _tokens([4, 5, 6], [7, 8])
    words, question = encoder(tokens, keep).levels
    torch.testing.assert_close(words, encoder.embedding(tokens, keep) * keep.unsqueeze(-1))
    torch.testing.assert_close(question[..., : DIM // 2], encoder.forwards(words, keep)[0])
    torch.testing.assert_close(question[..., DIM // 2 :], encoder.backwards(words, keep)[0])


def test_a_word_tells_those_after_it_in_one_half_and_those_before_it_in_the_other() -> None:
    before, after = (_directional()(*_tokens([4, 5, word, 8, 9])).levels[1] for word in (7, 10))
    changed = [
        set((b != a).any(-1)[0].nonzero().flatten().tolist())
        for b, a in zip(before.split(DIM // 2, -1), after.split(DIM // 2, -1), strict=True)
    ]
    assert changed == [{2, 3, 4}, {0, 1, 2}]


def test_an_odd_width_cannot_be_shared_by_two_directions() -> None:
    with pytest.raises(ValueError, match="must be even, not 5"):
        DirectionalTextEncoder(VOCABULARY, 5)
