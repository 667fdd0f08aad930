from __future__ import annotations

from itertools import product
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from captioning.decoders import ShowAttendTell
from captioning.decoders.show_attend_tell import ShowAttendTellState
from common.attention import VisualFeatures
from common.data.vocabulary import START
from tests.captioning.decoders.cases import REGION_DIM, REGIONS, WORDS, additive, captions, hard, pictures, stir

Array = NDArray[np.float64]
Variant = Literal["paper", "code"]
VARIANTS: list[tuple[Variant, bool, int | None]] = list(product(("paper", "code"), (True, False), (None, 4)))


def build(
    variant: Variant = "paper", gate: bool = True, feature_dim: int | None = None, **other: Any
) -> ShowAttendTell:
    """A decoder in float64 whose every parameter matters."""
    attention = other.pop("attention", additive)
    settings = {"embedding_dim": 4, "hidden_dim": 3, "feature_dim": feature_dim, "gate": gate, "variant": variant}
    return stir(ShowAttendTell(WORDS, REGION_DIM, attention, **settings, **other))  # type: ignore[no-any-return]


def loops(
    decoder: ShowAttendTell, features: VisualFeatures, row: int, tokens: list[int], code: bool
) -> tuple[Array, Array]:
    """Log-probabilities [T V] and weights [T R] of one caption: equations 1-9 written out, one number at a time."""
    p: dict[str, Array] = {name: value.detach().numpy() for name, value in decoder.named_parameters()}
    regions = [region for region, keep in zip(features.values[row].numpy(), features.keep[row], strict=True) if keep]
    if decoder.project is not None and "project.0.weight" in p:
        regions = [np.maximum(p["project.0.weight"] @ region + p["project.0.bias"], 0) for region in regions]

    def linear(name: str, x: Array) -> Array:
        return p[f"{name}.weight"] @ x + p.get(f"{name}.bias", np.zeros(1))

    def sigmoid(x: Array) -> Array:
        return 1 / (1 + np.exp(-x))

    def distribution(logits: Array) -> Array:
        powers = np.exp(logits - logits.max())
        return powers / powers.sum()

    mean = sum(regions, np.zeros(len(regions[0]))) / len(regions)
    hidden, cell = np.tanh(linear("start_hidden", mean)), np.tanh(linear("start_cell", mean))
    rows, looks = [], []
    for token in tokens:
        energies = [
            (
                p["attention.score.vector"]
                @ np.tanh(linear("attention.score.map_query", hidden) + linear("attention.score.map_key", region))
            ).item()
            for region in regions
        ]
        alpha = distribution(np.array(energies))
        context = sum((a * region for a, region in zip(alpha, regions, strict=True)), np.zeros(len(mean)))
        if "gate.weight" in p:
            context = sigmoid(linear("gate", hidden)) * context
        word = p["embedding.weight"][token]
        gates = linear("word_gates", word) + p["context_gates.weight"] @ context + p["hidden_gates.weight"] @ hidden
        write, forget, read, candidate = np.split(gates, 4)
        cell = sigmoid(forget) * cell + sigmoid(write) * np.tanh(candidate)
        hidden = sigmoid(read) * np.tanh(cell)
        summed = word + p["output_hidden.weight"] @ hidden + p["output_context.weight"] @ context
        rows.append(np.log(distribution(linear("output", np.tanh(summed) if code else summed))))
        looks.append(np.concatenate([alpha, np.zeros(REGIONS - len(alpha))]))
    return np.array(rows), np.array(looks)


@pytest.mark.parametrize(("variant", "gate", "feature_dim"), VARIANTS)
def test_the_decoder_is_the_papers_equations_written_as_loops(
    variant: Variant, gate: bool, feature_dim: int | None
) -> None:
    decoder, features = build(variant, gate, feature_dim), pictures()
    tokens, keep = captions()
    output = decoder(features, tokens, keep)
    expected = [
        loops(decoder, features, row, tokens[row, q].tolist(), variant == "code") for row in (0, 1) for q in range(3)
    ]
    weights = np.stack([looks for _, looks in expected]).reshape(2, 3, 5, REGIONS)
    log_probs = np.concatenate([rows[valid] for (rows, _), valid in zip(expected, keep.flatten(0, 1), strict=True)])
    np.testing.assert_allclose(output.weights.detach(), weights, rtol=0, atol=1e-10)
    np.testing.assert_allclose(output.log_probs.detach(), log_probs, rtol=0, atol=1e-10)


def test_the_first_state_comes_from_the_mean_of_the_valid_regions_alone() -> None:
    decoder, features = build(), pictures()
    state = decoder.start(features, 2)
    mean = features.values[0, :-2].mean(0)
    for found, layer in ((state.hidden, decoder.start_hidden), (state.cell, decoder.start_cell)):
        for sequence in (0, 1):
            torch.testing.assert_close(found[0, sequence], torch.tanh(layer(mean)))


def test_the_first_word_depends_on_no_word_but_the_start() -> None:
    decoder, features = build(), pictures()
    tokens, keep = captions()
    others = torch.cat([tokens[..., :1], torch.randint(4, WORDS, tokens[..., 1:].shape)], -1)
    first, second = decoder(features, tokens, keep), decoder(features, others, keep)
    starts = torch.zeros_like(keep)
    starts[..., 0] = True
    assert torch.equal(first.log_probs[starts[keep]], second.log_probs[starts[keep]])
    assert torch.equal(first.weights[:, :, :2], second.weights[:, :, :2]), "the second look precedes the second word"
    assert not torch.equal(first.weights[:, :, 2], second.weights[:, :, 2])


def test_beta_scales_the_context_by_a_number_between_zero_and_one() -> None:
    gated, features = build(), pictures()
    bare = build(gate=False)
    bare.load_state_dict({name: value for name, value in gated.state_dict().items() if not name.startswith("gate")})
    start = torch.full((2, 1), START)
    _, bare_look = bare.advance(bare.word_gates(bare.embedding(start)), bare.start(features))
    state = gated.start(features)
    _, look = gated.advance(gated.word_gates(gated.embedding(start)), state)
    assert gated.gate is not None
    beta = torch.sigmoid(gated.gate(state.hidden))
    assert beta.min() > 0
    assert beta.max() < 1
    torch.testing.assert_close(look.read[1], beta * bare_look.read[1])


def test_gradients_are_those_of_finite_differences() -> None:
    decoder, features = build("code"), pictures(1)
    tokens, keep = captions(1, 2, 3)

    def run(values: Tensor, query: Tensor, gate: Tensor) -> tuple[Tensor, Tensor]:
        changed = {"attention.score.map_query.weight": query, "gate.weight": gate}
        visual = VisualFeatures(values, features.keep, features.layout)
        output = torch.func.functional_call(decoder, changed, (visual, tokens, keep))
        return output.log_probs.sum(0), output.weights.sum((0, 1))

    assert decoder.gate is not None
    given = (features.values, decoder.attention.score.map_query.weight, decoder.gate.weight)  # type: ignore[union-attr]
    assert torch.autograd.gradcheck(run, [each.detach().requires_grad_() for each in given])  # type: ignore[operator, union-attr]


def test_reordering_moves_the_states_and_shares_the_regions() -> None:
    decoder, features = build(), pictures()
    state = decoder.step(torch.tensor([[4, 5, 6], [7, 8, 4]]), decoder.start(features, 3)).state
    parents = torch.tensor([[2, 0, 0], [1, 1, 2]])
    moved = state.reorder(parents)
    assert isinstance(moved, ShowAttendTellState)
    for row, column in product(range(2), range(3)):
        parent = int(parents[row, column])
        assert torch.equal(moved.hidden[row, column], state.hidden[row, parent])
        assert torch.equal(moved.cell[row, column], state.cell[row, parent])
    assert moved.keys.values.data_ptr() == features.values.data_ptr()
    assert moved.keys.projected.data_ptr() == state.keys.projected.data_ptr()


def test_hard_attention_hands_back_what_its_objective_needs_and_soft_attention_does_not() -> None:
    tokens, keep = captions()
    soft = build()(pictures(), tokens, keep)
    assert soft.attention_log_prob is None
    assert soft.entropy is None
    decoder = build(attention=hard).train()
    output = decoder(pictures(), tokens, keep)
    assert output.attention_log_prob is not None
    assert output.entropy is not None
    chosen = (output.weights.log() - output.attention_log_prob.unsqueeze(-1)).abs().amin(-1)
    torch.testing.assert_close(chosen, torch.zeros_like(chosen))
    torch.testing.assert_close(output.entropy, torch.special.entr(output.weights).sum(-1))


def test_the_recurrent_matrices_start_orthogonal_and_the_forget_gate_open() -> None:
    decoder = ShowAttendTell(WORDS, REGION_DIM, additive, embedding_dim=4, hidden_dim=3)
    for block in decoder.hidden_gates.weight.chunk(4):
        torch.testing.assert_close(block @ block.T, torch.eye(3))
    assert decoder.word_gates.bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6
