from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn

from common.attention import GuidedCoAttention
from common.attention.guided import AttentionFlattening, AttentionUnit, UnbiasedLayerNorm
from tests.common.attention import reference
from tests.common.attention.cases import quick
from tests.common.attention.co_kinds import DIM, Inputs, draw, inputs
from tests.common.attention.reference_guided import guided_co_attention, layer_norm


def _build(layers: int = 2, heads: int = 2, **settings: Any) -> GuidedCoAttention:
    torch.manual_seed(0)
    module = GuidedCoAttention(DIM, layers, heads, **settings).double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    return module


@pytest.mark.parametrize("order", ["encoder-decoder", "stacking"])
@pytest.mark.parametrize("variant", ["paper", "code"])
@quick
@given(batch=inputs())
def test_summaries_and_weights_equal_the_loops_of_the_reference(order: Any, variant: Any, batch: Inputs) -> None:
    module = _build(order=order, variant=variant, glimpses=2, hidden_dim=3)
    p = reference.parameters(module)
    output = module(*batch)
    for b, q in np.ndindex(*batch[0].shape[:2]):
        pair = [tensor.numpy() for tensor in (batch[0][b, q], batch[1][b, q], batch[2][b], batch[3][b])]
        expected = guided_co_attention(p, *pair, heads=2, stacking=order == "stacking", variant=variant)
        for ours, theirs in zip(output, expected, strict=True):
            np.testing.assert_allclose(ours[b, q].detach().numpy(), theirs, rtol=0, atol=1e-10)


def test_guided_by_one_word_every_region_takes_the_value_of_that_word() -> None:
    unit = AttentionUnit(DIM, heads=2, dropout=0.0, variant="paper").double()
    regions, word = draw(1, 5, DIM), draw(1, 1, DIM, seed=1)
    value = unit.attention.join(unit.attention.map_value(word))
    torch.testing.assert_close(unit(regions, word, torch.ones(1, 1) > 0), unit.norm(regions + value))


def test_in_the_stack_the_regions_of_a_layer_are_guided_by_the_words_of_that_layer() -> None:
    guides: dict[str, list[torch.Tensor]] = {}
    for order in ("encoder-decoder", "stacking"):
        module = _build(layers=3, order=order)
        seen = guides.setdefault(order, [])
        read: list[torch.Tensor] = []
        for look in module.regions_to_words:
            look.register_forward_hook(lambda _, args, __, seen=seen: seen.append(args[1]))
        for think in module.word_maps:
            think.register_forward_hook(lambda _, __, result, read=read: read.append(result))
        module(draw(1, 1, 3, DIM), torch.ones(1, 1, 3) > 0, draw(1, 4, DIM), torch.ones(1, 4) > 0)
        expected = read if order == "stacking" else [read[-1]] * 3
        assert all(torch.equal(one, other) for one, other in zip(seen, expected, strict=True))


def test_regions_are_shared_by_the_questions_until_the_first_word_is_seen() -> None:
    module, seen = _build(), []
    for look in module.regions_to_regions:
        look.register_forward_hook(lambda _, args, __: seen.append(tuple(args[0].shape)))
    module(draw(2, 3, 4, DIM), torch.ones(2, 3, 4) > 0, draw(2, 5, DIM), torch.ones(2, 5) > 0)
    assert seen == [(2, 5, DIM), (6, 5, DIM)]


def test_each_glimpse_of_the_flattening_looks_its_own_way() -> None:
    flattening = AttentionFlattening(DIM, glimpses=3, hidden_dim=5, output_dim=6, dropout=0.0).double()
    summary, weights = flattening(draw(2, 4, DIM), torch.ones(2, 4) > 0)
    assert summary.shape == (2, 6)
    assert weights.shape == (2, 3, 4)
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3).double())
    assert not torch.allclose(weights[:, 0], weights[:, 1], atol=1e-4)


def test_the_layer_norm_of_the_code_has_the_unbiased_spread() -> None:
    norm, items = UnbiasedLayerNorm(8).double(), draw(3, 8)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    p = {f"norm.{name}": value for name, value in reference.parameters(norm).items()}
    expected = [layer_norm(p, "norm", item, "code") for item in items.numpy()]
    np.testing.assert_allclose(norm(items).detach(), expected, rtol=0, atol=1e-10)
    ratio = UnbiasedLayerNorm(8).double()(items) / nn.LayerNorm(8).double()(items)
    torch.testing.assert_close(ratio, torch.full_like(ratio, (7 / 8) ** 0.5), rtol=1e-4, atol=0)


def test_a_row_without_spread_has_finite_gradients() -> None:
    items = torch.zeros(1, 4, requires_grad=True)
    UnbiasedLayerNorm(4)(items).square().sum().backward()
    assert items.grad is not None
    assert items.grad.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"order": "decoder"}, "'decoder'"),
        ({"variant": "thesis"}, "'thesis'"),
        ({"heads": 8}, "8 heads do not divide the width 4"),
        ({"layers": 0}, "at least one layer and one glimpse are needed, got 0 and 1"),
        ({"glimpses": 0}, "at least one layer and one glimpse are needed, got 6 and 0"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises((ValueError, TypeError), match=reason):
        GuidedCoAttention(DIM, **({"heads": 2} | settings))
