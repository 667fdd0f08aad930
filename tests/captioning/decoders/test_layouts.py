"""Every decoder takes regions that are a grid's cells, boxes, or several sources side by side, with every position."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
import torch

from captioning.decoders import AdaptiveAttention, AoANet, BottomUpTopDown, Decoder, ShowAttendTell
from common.attention import (
    AdditiveScore,
    Attention,
    Boxes,
    Grid,
    LocalMonotonic,
    LocalPredictive,
    MixedSources,
    StagedChannelSpatial,
    VisualFeatures,
)
from common.errors import ConfigError
from common.training.parts import build as build_part
from tests.captioning.decoders.cases import DECODERS, REGION_DIM, REGIONS, WORDS, additive, captions, pictures, stir

Make = Callable[[], Decoder[Any]]


def predictive(query_dim: int, key_dim: int) -> Attention:
    position = LocalPredictive(query_dim, hidden_dim=3, window=1, radius=0.4)
    return Attention(AdditiveScore(query_dim, key_dim, hidden_dim=3), position=position)


def monotonic(query_dim: int, key_dim: int) -> Attention:
    return Attention(AdditiveScore(query_dim, key_dim, hidden_dim=3), position=LocalMonotonic(window=1, radius=0.4))


def mixed(query_dim: int, key_dim: int) -> MixedSources:
    return MixedSources(query_dim, key_dim, [2, 3], hidden_dim=3)


def chosen(query_dim: int, key_dim: int) -> MixedSources:
    return MixedSources(query_dim, key_dim, [2, 3], "query", hidden_dim=3)


def staged(query_dim: int, key_dim: int) -> StagedChannelSpatial:
    return StagedChannelSpatial(query_dim, key_dim, [2, 3], hidden_dim=3)


MADE: dict[str, Make] = {  # the decoders of `cases.py`, and those below
    "adaptive": DECODERS["adaptive"],
    "transformer": DECODERS["transformer"],
    "meshed": DECODERS["meshed"],
}
for kind, attention in product((ShowAttendTell, BottomUpTopDown), (predictive, monotonic, mixed, chosen, staged)):
    MADE[f"{kind.__name__}, {attention.__name__}"] = lambda kind=kind, attention=attention: kind(  # type: ignore[misc]
        WORDS, REGION_DIM, attention, embedding_dim=4, hidden_dim=3
    )
for attention in (predictive, monotonic, additive):
    MADE[f"AoANet, {attention.__name__}"] = lambda attention=attention: AoANet(  # type: ignore[misc]
        WORDS, REGION_DIM, attention, embedding_dim=4, hidden_dim=8, refine_layers=1
    )
every_decoder = pytest.mark.parametrize("name", MADE)
every_layout = pytest.mark.parametrize("layout", ["grid", "boxes"])


def given(layout: str) -> VisualFeatures:
    """Pictures of six regions, the last two of the first picture are padding."""
    features = pictures()
    if layout == "grid":
        return features
    low = torch.rand(2, REGIONS, 2).double() / 2
    return replace(features, layout=Boxes(torch.cat([low, low + torch.rand(2, REGIONS, 2) / 2], -1)))


def made(name: str) -> Decoder[Any]:
    return stir(MADE[name]())  # type: ignore[no-any-return]


@every_layout
@every_decoder
def test_teacher_forcing_is_stepping_word_by_word(name: str, layout: str) -> None:
    decoder, features = made(name), given(layout)
    tokens, keep = captions()
    output, state = decoder(features, tokens, keep), decoder.start(features, 3)
    for position, words in enumerate(tokens.unbind(-1)):
        step = decoder.step(words, state)
        state = step.state
        here = torch.zeros_like(keep)
        here[..., position] = keep[..., position]
        torch.testing.assert_close(step.log_probs[here[..., position]], output.log_probs[here[keep]])
        torch.testing.assert_close(step.attention.weights, output.weights[:, :, position])
        if output.parts is not None:
            torch.testing.assert_close(step.attention.parts, output.parts[:, :, position])


@every_layout
@every_decoder
def test_padding_changes_nothing(name: str, layout: str) -> None:
    decoder, features = made(name), given(layout)
    tokens, keep = captions()
    values = features.values.clone()
    values[0, -2:] = 1e3
    other = replace(features, values=values)
    if isinstance(features.layout, Boxes):  # a grid has as many cells in one batch as in the next
        more = torch.full_like(values[:, :2], -50), torch.zeros(2, 2, dtype=torch.bool)
        corners = torch.cat([features.layout.corners, torch.rand(2, 2, 4).double()], 1)
        other = VisualFeatures(torch.cat([values, more[0]], 1), torch.cat([features.keep, more[1]], 1), Boxes(corners))
    output, padded = decoder(features, tokens, keep), decoder(other, tokens, keep)
    torch.testing.assert_close(padded.log_probs, output.log_probs)
    torch.testing.assert_close(padded.weights[..., :REGIONS], output.weights)
    assert not padded.weights[..., REGIONS:].any()
    assert not output.weights[0, ..., -2:].any()


@every_layout
@every_decoder
def test_each_sequence_goes_on_from_the_one_that_reordering_gives_it(name: str, layout: str) -> None:
    decoder, features = made(name), given(layout)
    state = decoder.step(torch.tensor([[4, 5, 6], [7, 8, 4]]), decoder.start(features, 3)).state
    parents, words = torch.tensor([[2, 0, 0], [1, 1, 2]]), torch.tensor([[4, 5, 5], [6, 7, 8]])
    moved = decoder.step(words, state.reorder(parents))
    for row, column in product(range(2), range(3)):
        same = decoder.step(words[:, column : column + 1].expand(-1, 3), state)
        torch.testing.assert_close(moved.log_probs[row, column], same.log_probs[row, parents[row, column]])


@pytest.mark.parametrize(
    ("decoder", "attention", "message"),
    [
        (AdaptiveAttention, predictive, "the sentinel is one more logit beside the regions': take Attention, its"),
        (AdaptiveAttention, mixed, r"the sources' widths \[2, 3\] come to 5, the keys are 8 wide"),
        (AoANet, mixed, r"the sources' widths \[2, 3\] come to 5, the keys are 8 wide"),
        (AoANet, staged, r"the stages' widths \[2, 3\] come to 5, the keys are 8 wide"),
    ],
)
def test_what_a_decoder_cannot_take_is_refused_in_one_sentence(decoder: Any, attention: Any, message: str) -> None:
    recipe: Any = {
        "class_path": f"captioning.decoders.{decoder.__name__}",
        "init_args": {"hidden_dim": 8},
    }
    with pytest.raises(ConfigError, match=rf"^captioning\.decoders\.{decoder.__name__}: {message}"):
        build_part(recipe, Decoder, vocabulary_size=WORDS, region_dim=REGION_DIM, attention=attention)


def test_a_window_on_a_grid_and_one_among_boxes_leave_the_rest_of_the_picture_alone() -> None:
    for layout in ("grid", "boxes"):
        weights = made("BottomUpTopDown, predictive")(given(layout), *captions()).weights
        assert (weights[1] == 0).any(), layout  # all of whose regions are valid
        assert weights.sum(-1).max() <= 1, layout


def test_the_raster_scan_goes_on_word_by_word() -> None:
    features = pictures(1)
    features.keep[:] = True
    looks = made("AoANet, monotonic")(features, *captions(1, 1, 5)).weights[0, 0]
    for word, look in enumerate(looks):
        row, column = divmod(word % REGIONS, 3)
        rows, columns = torch.arange(REGIONS) // 3, torch.arange(REGIONS) % 3
        near = ((rows - row).abs() <= 1) & ((columns - column).abs() <= 1)
        assert torch.equal(look > 0, near)
    assert isinstance(features.layout, Grid)
