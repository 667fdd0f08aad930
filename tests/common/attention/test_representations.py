from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from common.attention import (
    AdditiveScore,
    Attention,
    AttentionMechanism,
    AttentionOutput,
    ChannelSpatial,
    GeneralScore,
    MixedSources,
    MultiDimensional,
    Sigmoid,
)
from common.attention.representations import SourceMixture
from tests.common.attention import reference
from tests.common.attention import reference_representations as loops
from tests.common.attention.cases import WIDTH, Problem, problems, quick

HIDDEN = 5
Order = Literal["channel-spatial", "spatial-channel"]
Per = Literal["position", "query"]
ORDERS: list[Order] = ["channel-spatial", "spatial-channel"]
PERS: list[Per] = ["position", "query"]


def _ready(module: AttentionMechanism[Any]) -> Any:
    """In float64, with parameters drawn anew but always the same: offsets that start at zero would hide a mistake."""
    torch.manual_seed(0)
    module = module.double().eval()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return module


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _attend(
    module: AttentionMechanism[Any], query: Tensor, keys: Tensor, keep: Tensor | None = None
) -> AttentionOutput:
    keep = torch.ones(keys.shape[:2], dtype=torch.bool) if keep is None else keep
    return module(query, module.prepare(keys, keep))


def _close(got: Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=0, atol=1e-10)


# Multi-dimensional


@quick
@given(problem=problems())
def test_each_feature_has_the_weights_of_the_reference(problem: Problem) -> None:
    module = _ready(MultiDimensional(WIDTH, WIDTH, HIDDEN))
    output = _attend(module, problem.query, problem.keys, problem.keep)
    p = reference.parameters(module)
    for b, q in np.ndindex(*problem.query.shape[:2]):
        inputs = problem.query[b, q].numpy(), problem.keys[b].numpy(), problem.keep[b].numpy()
        context, weights = loops.multi_dimensional(p, *inputs)
        _close(output.context[b, q], context)
        assert output.parts is not None
        _close(output.parts[b, q], weights)
        _close(output.weights[b, q], weights.mean(0))


def test_with_one_logit_for_all_features_it_is_ordinary_attention() -> None:
    module, plain = _ready(MultiDimensional(3, 4, HIDDEN)), _ready(Attention(AdditiveScore(3, 4, HIDDEN)))
    module.score.weight.data[:] = plain.score.vector
    module.map_query.load_state_dict(plain.score.map_query.state_dict())
    module.map_key.load_state_dict(plain.score.map_key.state_dict())
    query, keys = _draw(2, 2, 3), _draw(2, 6, 4, seed=1)
    output, expected = _attend(module, query, keys), _attend(plain, query, keys)
    torch.testing.assert_close(output.context, expected.context)
    torch.testing.assert_close(output.weights, expected.weights)


# Channels and places


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("rescale", [True, False])
@quick
@given(problem=problems())
def test_channels_and_places_equal_the_reference(order: Order, rescale: bool, problem: Problem) -> None:
    module = _ready(ChannelSpatial(WIDTH, WIDTH, HIDDEN, order, rescale))
    output = _attend(module, problem.query, problem.keys, problem.keep)
    p = reference.parameters(module)
    for b, q in np.ndindex(*problem.query.shape[:2]):
        context, weights = loops.channel_spatial(
            p,
            problem.query[b, q].numpy(),
            problem.keys[b].numpy(),
            problem.keep[b].numpy(),
            order == "channel-spatial",
            rescale,
        )
        _close(output.context[b, q], context)
        _close(output.weights[b, q], weights)


@pytest.mark.parametrize("order", ORDERS)
def test_uniform_attention_rescaled_is_the_mean_of_the_regions(order: Order) -> None:
    module = _ready(ChannelSpatial(3, 4, HIDDEN, order))
    for score in (module.channel, module.spatial):
        score.vector.data.zero_()
    keys = _draw(2, 6, 4)
    torch.testing.assert_close(_attend(module, _draw(2, 1, 3), keys).context, keys.mean(1, keepdim=True))


@pytest.mark.parametrize("order", ORDERS)
def test_the_channels_shares_sum_to_one(order: Order) -> None:
    module = _ready(ChannelSpatial(3, 4, HIDDEN, order, rescale=False))
    keys = torch.ones(2, 6, 4, dtype=torch.float64)  # the context is then beta itself
    total = _attend(module, _draw(2, 1, 3), keys).context.sum(-1)
    torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("order", ORDERS)
def test_what_needs_no_query_is_projected_once(order: Order, monkeypatch: pytest.MonkeyPatch) -> None:
    module = _ready(ChannelSpatial(3, 4, HIDDEN, order))
    prepared = module.prepare(_draw(2, 6, 4), torch.ones(2, 6, dtype=torch.bool))
    first = module.channel if order == "channel-spatial" else module.spatial
    monkeypatch.setattr(first, "project", None)
    module(_draw(2, 1, 3), prepared)


# Sources


@pytest.mark.parametrize("per", PERS)
@pytest.mark.parametrize(("widths", "place"), [([3], 0), ([2, 3], 0), ([1, 2, 3], 4)])
@pytest.mark.parametrize("source_dim", [None, 3])
@pytest.mark.parametrize("gates", [False, True])
def test_mixed_sources_equal_the_reference(
    per: Per, widths: list[int], place: int, source_dim: int | None, gates: bool
) -> None:
    dim = sum(widths) + place
    mixture = Sigmoid() if gates else None
    module = _ready(MixedSources(3, dim, widths, per, source_dim, mixture=mixture, hidden_dim=HIDDEN))
    query, keys = _draw(3, 2, 3), _draw(3, 4, dim, seed=1)
    keep = torch.tensor([[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=torch.bool)
    output = _attend(module, query, keys, keep)
    p = reference.parameters(module)
    assert output.parts is not None
    for b, q in np.ndindex(3, 2):
        context, weights, shares = loops.mixed_sources(
            p, query[b, q].numpy(), keys[b].numpy(), keep[b].numpy(), widths, per, gates
        )
        _close(output.context[b, q], context)
        _close(output.weights[b, q], weights)
        _close(output.parts[b, q], shares)


@pytest.mark.parametrize("per", PERS)
def test_the_sources_shares_add_up_to_the_look(per: Per) -> None:
    output = _attend(_ready(MixedSources(3, 6, [2, 4], per, hidden_dim=HIDDEN)), _draw(2, 2, 3), _draw(2, 5, 6, seed=1))
    assert output.parts is not None
    torch.testing.assert_close(output.parts.sum(2), output.weights)


@pytest.mark.parametrize("per", PERS)
def test_one_source_has_all_the_weight(per: Per) -> None:
    module = _ready(MixedSources(3, 4, [4], per, hidden_dim=HIDDEN))
    keys = _draw(2, 5, 4, seed=1)
    output = _attend(module, _draw(2, 2, 3), keys)
    assert output.parts is not None
    torch.testing.assert_close(output.parts.squeeze(2), output.weights)
    torch.testing.assert_close(output.context, output.weights @ module.sources[0](keys))


@pytest.mark.parametrize("per", PERS)
def test_the_order_of_the_sources_does_not_matter(per: Per) -> None:
    module, turned = (_ready(MixedSources(3, 5, widths, per, hidden_dim=HIDDEN)) for widths in ([2, 3], [3, 2]))
    swapped = {"sources.0": "sources.1", "sources.1": "sources.0"}
    state = {swapped.get(name[:9], name[:9]) + name[9:]: value for name, value in module.state_dict().items()}
    turned.load_state_dict(state)
    query, keys = _draw(2, 2, 3), _draw(2, 5, 5, seed=1)
    one, two = _attend(module, query, keys), _attend(turned, query, torch.cat([keys[..., 2:], keys[..., :2]], -1))
    torch.testing.assert_close(one.context, two.context)
    assert one.parts is not None
    assert two.parts is not None
    torch.testing.assert_close(one.parts, two.parts.flip(2))


def test_a_score_of_ones_own_takes_the_place_of_the_additive_one() -> None:
    module = _ready(MixedSources(3, 5, [2, 3], score=GeneralScore(3, 5), hidden_dim=HIDDEN))
    assert _attend(module, _draw(2, 2, 3), _draw(2, 4, 5)).context.shape == (2, 2, 5)
    with pytest.raises(ValueError, match="leave source_dim or score out"):
        MixedSources(3, 5, [2, 3], source_dim=4, score=GeneralScore(3, 5))


@pytest.mark.parametrize("widths", [[], [2, 2], [3, 4], [5, 0], [7, -2]])
def test_widths_that_do_not_come_to_the_keys_are_refused(widths: list[int]) -> None:
    with pytest.raises(ValueError, match=r"come to -?\d+, the keys are 5 wide"):
        MixedSources(3, 5, widths)


@pytest.mark.parametrize("module", [MixedSources(3, 4, [4]), ChannelSpatial(3, 4)])
def test_values_beside_the_keys_are_refused(module: AttentionMechanism[Any]) -> None:
    keys = torch.zeros(1, 2, 4)
    with pytest.raises(ValueError, match="give no values beside them"):
        module.prepare(keys, torch.ones(1, 2, dtype=torch.bool), keys)


# The mixture of sources by itself


def test_without_evidence_sources_share_alike_and_an_unknown_one_has_no_share() -> None:
    mixture = SourceMixture(4).double()
    torch.nn.init.zeros_(mixture.score.weight)
    sources, known = _draw(2, 3, 4), torch.tensor([[1, 1, 1], [1, 0, 1]], dtype=torch.bool)
    mixed, shares = mixture(sources, known=known)
    _close(shares, np.array([[1 / 3] * 3, [1 / 2, 0, 1 / 2]]))
    torch.testing.assert_close(mixed[0], sources[0].mean(0))
    torch.testing.assert_close(mixed[1], (sources[1, 0] + sources[1, 2]) / 2)
    mixed, shares = mixture(sources, known=torch.zeros_like(known))
    assert not mixed.any()
    assert not shares.any()


def test_gates_of_sources_do_not_compete() -> None:
    mixture = SourceMixture(4, Sigmoid()).double()
    sources = _draw(2, 3, 4)
    shares = mixture(sources)[1]
    torch.testing.assert_close(shares[:, :2], mixture(sources[:, :2])[1])
    assert all(abs(total - 1) > 1e-3 for total in shares.sum(-1).tolist())


def test_the_more_a_source_is_scored_the_more_it_has() -> None:
    mixture = SourceMixture(1).double()
    torch.nn.init.ones_(mixture.score.weight)
    shares = mixture(torch.tensor([[[0.0], [1.0], [2.0]]], dtype=torch.float64))[1][0]
    assert all(low < high for low, high in pairwise(shares.tolist()))
