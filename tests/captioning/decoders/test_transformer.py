from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from captioning.decoders import TransformerDecoder
from captioning.decoders.transformer import CrossAttention, Mesh, RegionEncoder
from common.attention.transformer import sinusoids
from common.search import Search, beam_search
from tests.captioning.decoders.cases import REGION_DIM, REGIONS, WORDS, captions, pictures, stir
from tests.captioning.decoders.reference_transformer import cross, decode, encode
from tests.common.attention.reference import parameters

DIM, HEADS, LAYERS = 8, 2, 2
MESHES: tuple[Mesh | None, ...] = (None, "paper", "code")


def build(**settings: Any) -> TransformerDecoder:
    """A decoder in float64 whose every parameter matters."""
    made = TransformerDecoder(WORDS, REGION_DIM, **({"dim": DIM, "heads": HEADS, "layers": LAYERS} | settings))
    return stir(made)  # type: ignore[no-any-return]


@pytest.mark.parametrize("memory_slots", [0, 3])
@pytest.mark.parametrize("mesh", MESHES)
def test_the_decoder_is_the_papers_equations_written_as_loops(mesh: Mesh | None, memory_slots: int) -> None:
    decoder, features = build(mesh=mesh, memory_slots=memory_slots), pictures()
    tokens, keep = captions(sequences=2)
    output, p = decoder(features, tokens, keep), parameters(decoder)
    positions = sinusoids(torch.arange(tokens.shape[-1]), DIM).double().numpy()
    log_probs = []
    for row, valid in enumerate(features.keep.numpy()):
        encoded = encode(p, features.values[row].numpy(), valid, HEADS, LAYERS)
        for q in range(2):
            embedded = np.sqrt(DIM) * p["embedding.weight"][tokens[row, q]] + positions
            rows, heads = decode(p, list(embedded), encoded, HEADS, mesh)
            log_probs.append(rows[keep[row, q].numpy()])
            found = output.weights[row, q].detach().numpy()
            np.testing.assert_allclose(found[:, valid], heads.mean(1), rtol=0, atol=1e-10)
            assert not found[:, ~valid].any()
    np.testing.assert_allclose(output.log_probs.detach(), np.concatenate(log_probs), rtol=0, atol=1e-10)


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("mesh", ["paper", "code"])
def test_the_mesh_gates_every_layer_and_divides_by_the_root_of_their_number(mesh: Mesh, layers: int) -> None:
    module = stir(CrossAttention(DIM, HEADS, layers, mesh=mesh))
    words, regions = torch.randn(1, 3, DIM).double(), torch.randn(layers, 1, 4, DIM).double()
    prepared = [module.attention.project(level, torch.ones(1, 4, dtype=torch.bool)) for level in regions]
    looked, attention = module(words, prepared)
    p = {f"cross.{name}": value for name, value in parameters(module).items()}
    levels = [list(level[0].numpy()) for level in regions]
    for t in range(3):
        expected, heads = cross(p, "cross", words[0, t].numpy(), levels, HEADS, mesh)
        np.testing.assert_allclose(looked[0, t].detach(), expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(attention.parts[0, t].detach(), heads, rtol=0, atol=1e-10)
        np.testing.assert_allclose(attention.weights[0, t].detach(), heads.mean(0), rtol=0, atol=1e-10)


@pytest.mark.parametrize("mesh", ["paper", "code"])
def test_a_mesh_of_one_layer_whose_gate_is_open_is_no_mesh(mesh: Mesh) -> None:
    plain, meshed, features = build(layers=1), build(layers=1, mesh=mesh), pictures()
    meshed.load_state_dict(plain.state_dict(), strict=False)
    with torch.no_grad():
        gate: Any = meshed.layers[0].cross.gates[0]
        gate.weight.zero_()
        gate.bias.fill_(100)
    given = captions()
    torch.testing.assert_close(meshed(features, *given).log_probs, plain(features, *given).log_probs)


def test_a_picture_without_a_valid_region_attends_to_memory_alone() -> None:
    encoder = stir(RegionEncoder(REGION_DIM, DIM, HEADS, LAYERS, memory_slots=3))
    features = pictures()
    features.keep[0] = False
    one, other = encoder(features.values, features.keep), encoder(features.values + 1, features.keep)
    context, weights = encoder.layers[0].attention(one[0], one[0], features.keep)
    assert not weights[0].any()
    assert context[0].any()
    assert weights[1].sum(-1).max() < 1, "the rest went to the slots"
    assert all(level.isfinite().all() for level in (*one, *other))


def test_the_gradient_reaches_every_parameter_memory_slots_and_gates_too() -> None:
    decoder = build(memory_slots=3, mesh="paper")
    output = decoder(pictures(), *captions())
    (output.log_probs[:, 5].sum() + output.weights.square().sum()).backward()
    dead = {name for name, each in decoder.named_parameters() if each.grad is None or not each.grad.any()}
    assert dead == set()


def test_memory_slots_start_as_large_as_projected_regions() -> None:
    layer = RegionEncoder(REGION_DIM, 64, 4, 1, memory_slots=400).layers[0]
    memory: Any = layer.attention.memory  # type: ignore[union-attr]
    for slots, scale in zip((memory.keys, memory.values), (4.0, 20.0), strict=True):
        assert (scale * slots).std().item() == pytest.approx(1, abs=0.05)


def test_the_same_word_at_another_place_is_followed_by_others() -> None:
    decoder = TransformerDecoder(WORDS, REGION_DIM, dim=DIM, heads=HEADS).double().eval()
    tokens = torch.full((2, 1, 3), 4)
    rows = decoder(pictures(), tokens, torch.ones_like(tokens, dtype=torch.bool)).log_probs.view(2, 3, WORDS)
    assert (rows[:, 0] - rows[:, 1]).abs().max() > 0.01


def test_regions_stand_in_no_order() -> None:
    decoder, features, given = build(memory_slots=3, mesh="paper"), pictures(), captions()
    order = torch.randperm(REGIONS)
    moved = type(features)(features.values[:, order], features.keep[:, order], features.layout)
    output, permuted = decoder(features, *given), decoder(moved, *given)
    torch.testing.assert_close(permuted.log_probs, output.log_probs)
    torch.testing.assert_close(permuted.weights, output.weights[..., order])


def test_no_word_is_read_twice_in_a_search() -> None:
    decoder, read = build(), []
    decoder.layers[0].feed_forward.register_forward_hook(lambda *call: read.append(call[2].shape[:2].numel()))
    beam_search(decoder, pictures(), Search(beam=3, longest=5, shortest=5, best=3))
    assert read == [2, *[2 * 3] * 5], "one word of each sequence at each step; at first all sequences are one"


def test_reordering_moves_the_words_and_shares_the_regions() -> None:
    decoder = build()
    state = decoder.step(torch.tensor([[4, 5, 6], [7, 8, 4]]), decoder.start(pictures(), 3)).state
    parents = torch.tensor([[2, 0, 0], [1, 1, 2]])
    moved = state.reorder(parents)
    for (keys, values), (old_keys, old_values) in zip(moved.past, state.past, strict=True):
        for row in range(2):
            for column, parent in enumerate(parents[row].tolist()):
                assert torch.equal(keys[row, column], old_keys[row, parent])
                assert torch.equal(values[row, column], old_values[row, parent])
    assert moved.regions is state.regions
    assert len(state.regions[0][0].keys) == 2, "one of each picture, not of each beam"


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="width 8 is no multiple of 3 heads"):
        build(heads=3)
