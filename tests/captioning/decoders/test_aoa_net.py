from __future__ import annotations

from itertools import product
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioning.decoders import AoANet
from common.attention import VisualFeatures
from tests.captioning.decoders.cases import REGION_DIM, WORDS, additive, captions, heads, pictures, stir
from tests.common.attention import reference_self_attention as reference
from tests.common.attention.reference import parameters, sigmoid, softmax

Array = NDArray[np.float64]
Variant = Literal["paper", "code"]
HIDDEN, HEADS, REFINER_HEADS = 8, 2, 8


def build(variant: Variant = "paper", attention: Any = heads) -> AoANet:
    """A decoder in float64 whose every parameter matters."""
    made = AoANet(WORDS, REGION_DIM, attention, 4, HIDDEN, refine_layers=2, variant=variant)
    return stir(made)  # type: ignore[no-any-return]


def refined(p: dict[str, Array], regions: Array, keep: NDArray[np.bool_], code: bool) -> Array:
    """The regions that have looked at each other."""
    items = np.array([reference.linear(p, "project.0", region) for region in regions])
    items = np.maximum(items, 0) if code else items
    for layer in range(2):
        name = f"refiner.layers.{layer}"
        items, _ = reference.aoa_layer(p, name, items, keep, REFINER_HEADS, "before" if code else "after")
    return np.array([reference.layer_norm(p, "refiner.norm", x) for x in items]) if code else items


def loops(decoder: AoANet, features: VisualFeatures, row: int, tokens: list[int], code: bool) -> tuple[Array, Array]:
    """Log-probabilities [T V] and the heads' weights [T H R] of one caption, word by word."""
    p, keep = parameters(decoder), features.keep[row].numpy()
    regions = refined(p, features.values[row].numpy(), keep, code)
    mean = sum(regions[keep], np.zeros(HIDDEN)) / keep.sum()
    hidden, cell, context = np.zeros((3, HIDDEN))
    rows, looks = [], []
    for token in tokens:
        gates = reference.linear(p, "word_gates", p["embedding.weight"][token])
        gates = gates + reference.linear(p, "context_gates", mean + context)
        write, forget, read, candidate = np.split(gates + reference.linear(p, "hidden_gates", hidden), 4)
        cell = sigmoid(forget) * cell + sigmoid(write) * np.tanh(candidate)
        hidden = sigmoid(read) * np.tanh(cell)
        query = reference.layer_norm(p, "query", hidden) if code else hidden
        found, weights = reference.multi_head(p, "attention.attention", query[None], regions, keep, HEADS)
        context = reference.information_gate(p, "gate", found[0], hidden)
        rows.append(np.log(softmax(reference.linear(p, "output", context))))
        looks.append(weights[:, 0])
    return np.array(rows), np.array(looks)


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_the_decoder_is_the_papers_equations_written_as_loops(variant: Variant) -> None:
    decoder, features = build(variant), pictures()
    tokens, keep = captions()
    output, log_probs = decoder(features, tokens, keep), []
    assert output.parts is not None
    for row, q in product(range(2), range(3)):
        rows, looks = loops(decoder, features, row, tokens[row, q].tolist(), variant == "code")
        log_probs.append(rows[keep[row, q].numpy()])
        np.testing.assert_allclose(output.parts[row, q].detach(), looks, rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.weights[row, q].detach(), looks.mean(1), rtol=0, atol=1e-10)
    np.testing.assert_allclose(output.log_probs.detach(), np.concatenate(log_probs), rtol=0, atol=1e-10)


def test_the_context_before_goes_into_the_next_step() -> None:
    decoder, features = build(), pictures()
    state = decoder.start(features, 3)
    tokens = torch.full((2, 3), 4)
    moved = decoder.step(tokens, state._replace(context=torch.ones_like(state.context)))
    assert not torch.allclose(moved.log_probs, decoder.step(tokens, state).log_probs)


def test_any_attention_goes_under_the_gate() -> None:
    decoder = build(attention=additive)
    assert decoder.kind == "soft, attention on attention"
    assert decoder(pictures(), *captions()).parts is None


def test_gradients_are_those_of_finite_differences() -> None:
    decoder, features = build("code"), pictures(1)
    tokens, keep = captions(1, 2, 3)
    names = ("gate.map.bias", "query.weight")

    def run(values: Tensor, *weights: Tensor) -> tuple[Tensor, Tensor]:
        visual = VisualFeatures(values, features.keep, features.layout)
        output = torch.func.functional_call(decoder, dict(zip(names, weights, strict=True)), (visual, tokens, keep))
        return output.log_probs.sum(0), output.weights.sum((0, 1))

    given = (features.values, *(decoder.get_parameter(name) for name in names))
    assert torch.autograd.gradcheck(run, [each.detach().requires_grad_() for each in given])
