from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioning.decoders import BottomUpTopDown
from common.attention import VisualFeatures
from tests.captioning.decoders.cases import REGION_DIM, WORDS, additive, captions, pictures, stir
from tests.common.attention.reference import parameters, sigmoid, softmax

Array = NDArray[np.float64]


def build(feature_dim: int | None = None, **settings: Any) -> BottomUpTopDown:
    """A decoder in float64 whose every parameter matters."""
    made = BottomUpTopDown(WORDS, REGION_DIM, additive, 4, 3, feature_dim, **settings)
    return stir(made)  # type: ignore[no-any-return]


def loops(decoder: BottomUpTopDown, features: VisualFeatures, row: int, tokens: list[int]) -> tuple[Array, Array]:
    """Log-probabilities [T V] and weights [T R] of one caption: equations 1-7, word by word, region by region."""
    p = parameters(decoder)

    def linear(name: str, x: Array) -> Array:
        return p[f"{name}.weight"] @ x + p.get(f"{name}.bias", np.zeros(1))

    def lstm(gates: Array, cell: Array) -> tuple[Array, Array]:
        write, forget, read, candidate = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(write) * np.tanh(candidate)
        return sigmoid(read) * np.tanh(cell), cell

    keep = features.keep[row].numpy()
    regions = [region for region, valid in zip(features.values[row].numpy(), keep, strict=True) if valid]
    if "project.0.weight" in p:
        regions = [np.maximum(linear("project.0", region), 0) for region in regions]
    mean = sum(regions, np.zeros(len(regions[0]))) / len(regions)
    hidden1, cell1, hidden2, cell2 = np.zeros((4, 3))
    rows, looks = [], []
    for token in tokens:
        gates = linear("word_gates", p["embedding.weight"][token]) + linear("picture_gates", mean)
        gates = gates + linear("language_gates1", hidden2) + linear("hidden_gates1", hidden1)
        hidden1, cell1 = lstm(gates, cell1)
        mapped = linear("attention.score.map_query", hidden1)
        energies = [
            p["attention.score.vector"] @ np.tanh(mapped + linear("attention.score.map_key", region))
            for region in regions
        ]
        alpha = softmax(np.array(energies))
        context = sum((a * region for a, region in zip(alpha, regions, strict=True)), np.zeros(len(mean)))
        gates = linear("context_gates2", context) + linear("attention_gates2", hidden1)
        hidden2, cell2 = lstm(gates + linear("hidden_gates2", hidden2), cell2)
        rows.append(np.log(softmax(linear("output", hidden2))))
        weights = np.zeros(len(keep))
        weights[keep] = alpha
        looks.append(weights)
    return np.array(rows), np.array(looks)


@pytest.mark.parametrize("feature_dim", [None, 4])
def test_the_decoder_is_the_papers_equations_written_as_loops(feature_dim: int | None) -> None:
    decoder, features = build(feature_dim), pictures()
    tokens, keep = captions()
    output, log_probs = decoder(features, tokens, keep), []
    for row, q in product(range(2), range(3)):
        rows, weights = loops(decoder, features, row, tokens[row, q].tolist())
        log_probs.append(rows[keep[row, q].numpy()])
        np.testing.assert_allclose(output.weights[row, q].detach(), weights, rtol=0, atol=1e-10)
    np.testing.assert_allclose(output.log_probs.detach(), np.concatenate(log_probs), rtol=0, atol=1e-10)


def test_the_look_is_that_of_the_first_lstm_in_the_same_step() -> None:
    decoder, features = build(), pictures()
    tokens, keep = captions()
    others = torch.cat([4 + (tokens[..., :1] - 3) % 5, tokens[..., 1:]], -1)
    first, second = decoder(features, tokens, keep), decoder(features, others, keep)
    assert not torch.allclose(first.weights[:, :, 0], second.weights[:, :, 0]), "the word comes before its look"


def test_gradients_are_those_of_finite_differences() -> None:
    decoder, features = build(), pictures(1)
    tokens, keep = captions(1, 2, 3)
    names = ("language_gates1.weight", "attention.score.vector")

    def run(values: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        visual = VisualFeatures(values, features.keep, features.layout)
        output = torch.func.functional_call(decoder, dict(zip(names, weights, strict=True)), (visual, tokens, keep))
        return output.log_probs.sum(0), output.weights.sum((0, 1))

    given = (features.values, *(decoder.get_parameter(name) for name in names))
    assert torch.autograd.gradcheck(run, [each.detach().requires_grad_() for each in given])


def test_both_recurrent_matrices_start_orthogonal_and_both_forget_gates_open() -> None:
    decoder = BottomUpTopDown(WORDS, REGION_DIM, additive, embedding_dim=4, hidden_dim=3)
    for matrix, biased in (
        (decoder.hidden_gates1, decoder.word_gates),
        (decoder.hidden_gates2, decoder.context_gates2),
    ):
        for block in matrix.weight.chunk(4):
            torch.testing.assert_close(block @ block.T, torch.eye(3))
        assert biased.bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6
