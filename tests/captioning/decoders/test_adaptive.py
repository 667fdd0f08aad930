from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from captioning.decoders import AdaptiveAttention
from common.attention import AdditiveScore, Attention, MultiHead, Sparsemax, VisualFeatures
from common.errors import ConfigError
from common.training.parts import build as build_part
from tests.captioning.decoders.cases import REGION_DIM, WORDS, additive, captions, hard, pictures, stir
from tests.common.attention.reference import parameters, sigmoid, softmax
from tests.common.attention.reference_gates import sentinel_attention

Array = NDArray[np.float64]
Variant = Literal["paper", "code"]
VARIANTS: tuple[Variant, ...] = ("paper", "code")


def build(variant: Variant = "paper", attention: Any = additive) -> AdaptiveAttention:
    """A decoder in float64 whose every parameter matters."""
    return stir(  # type: ignore[no-any-return]
        AdaptiveAttention(WORDS, REGION_DIM, attention, embedding_dim=4, hidden_dim=3, variant=variant)
    )


def loops(
    decoder: AdaptiveAttention, features: VisualFeatures, row: int, tokens: list[int], code: bool
) -> tuple[Array, Array, Array]:
    """Log-probabilities [T V], weights [T R] and betas [T] of one caption: equations 4-13, word by word."""
    p = parameters(decoder)
    of_attention = {
        name.removeprefix("attention."): value for name, value in p.items() if name.startswith("attention.")
    }

    def linear(name: str, x: Array) -> Array:
        return p[f"{name}.weight"] @ x + p.get(f"{name}.bias", np.zeros(1))

    raw, keep = features.values[row].numpy(), features.keep[row].numpy()
    regions = np.array([np.maximum(linear("project_regions.0", region), 0) for region in raw])
    picture = np.maximum(linear("project_picture.0", sum(raw[keep], np.zeros(REGION_DIM)) / keep.sum()), 0)
    hidden = cell = np.zeros(3)
    rows, looks, betas = [], [], []
    for token in tokens:
        word = p["embedding.weight"][token]
        word = np.maximum(word, 0) if code else word
        gates = linear("word_gates", word) + linear("picture_gates", picture) + linear("hidden_gates", hidden)
        write, forget, read, candidate, gate = np.split(gates, 5)
        cell = sigmoid(forget) * cell + sigmoid(write) * np.tanh(candidate)
        hidden = sigmoid(read) * np.tanh(cell)
        sentinel = sigmoid(gate) * np.tanh(cell)
        assert np.abs(sentinel).max() < 1
        query = np.tanh(linear("query.0", hidden)) if code else hidden
        sentinel = np.maximum(linear("sentinel.0", sentinel), 0) if code else sentinel
        context, weights, beta = sentinel_attention(query, sentinel, regions, keep, of_attention, softmax)
        joined = np.tanh(linear("join.0", context + query)) if code else context + query
        rows.append(np.log(softmax(linear("output", joined))))
        looks.append(weights)
        betas.append(beta)
    return np.array(rows), np.array(looks), np.array(betas)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_decoder_is_the_papers_equations_written_as_loops(variant: Variant) -> None:
    decoder, features = build(variant), pictures()
    tokens, keep = captions()
    output = decoder(features, tokens, keep)
    log_probs = []
    for row in range(2):
        for q in range(3):
            rows, weights, betas = loops(decoder, features, row, tokens[row, q].tolist(), variant == "code")
            log_probs.append(rows[keep[row, q].numpy()])
            np.testing.assert_allclose(output.weights[row, q].detach(), weights, rtol=0, atol=1e-10)
            np.testing.assert_allclose(1 - output.weights[row, q].sum(-1).detach(), betas, rtol=0, atol=1e-10)
    np.testing.assert_allclose(output.log_probs.detach(), np.concatenate(log_probs), rtol=0, atol=1e-10)


def test_the_first_state_is_zero_whatever_the_picture() -> None:
    state = build().start(pictures(), 2)
    assert state.hidden.shape == (2, 2, 3)
    assert not state.hidden.any()
    assert not state.cell.any()


def test_a_picture_without_a_valid_region_is_captioned_by_what_is_known() -> None:
    decoder, features = build(), pictures()
    features.keep[0] = False
    weights = decoder(features, *captions()).weights
    assert not weights[0].any(), "beta is one"
    assert weights[1].any(-1).all()


def test_reordering_shares_the_regions() -> None:
    decoder = build()
    state = decoder.start(pictures(), 3)
    moved = state.reorder(torch.tensor([[2, 0, 0], [1, 1, 2]]))
    for name in ("values", "projected"):
        assert getattr(moved.keys, name).data_ptr() == getattr(state.keys, name).data_ptr()
    assert moved.picture_gates.data_ptr() == state.picture_gates.data_ptr()


def test_a_sparse_distribution_can_leave_the_picture_alone_altogether() -> None:
    def sparse(query_dim: int, key_dim: int) -> Attention:
        return Attention(AdditiveScore(query_dim, key_dim, hidden_dim=3), Sparsemax())

    decoder, features = build(attention=sparse), pictures()
    with torch.no_grad():
        decoder.attention.map_sentinel.weight.mul_(100)
    seen = decoder(features, *captions(length=20)).weights.sum(-1)
    assert (seen == 0).any()


@pytest.mark.parametrize(
    "attention", [hard, lambda query_dim, key_dim: MultiHead(query_dim, key_dim, heads=1)], ids=["hard", "multi-head"]
)
def test_attention_without_a_place_for_the_sentinel_is_refused_in_one_sentence(attention: Any) -> None:
    recipe: Any = {"class_path": "captioning.decoders.AdaptiveAttention"}
    with pytest.raises(ConfigError, match=r"^captioning\.decoders\.AdaptiveAttention: the sentinel is one more logit"):
        build_part(recipe, AdaptiveAttention, vocabulary_size=WORDS, region_dim=REGION_DIM, attention=attention)
