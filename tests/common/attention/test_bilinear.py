from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from common.attention import BilinearCoAttention
from tests.common.attention import reference
from tests.common.attention.cases import quick
from tests.common.attention.co_kinds import DIM, HIDDEN, Inputs, assert_same, draw, inputs
from tests.common.attention.reference_bilinear import bilinear_co_attention, bilinear_map


def _build(glimpses: int = 2, **settings: Any) -> BilinearCoAttention:
    torch.manual_seed(0)
    module = BilinearCoAttention(DIM, glimpses, HIDDEN, map_dim=5, **settings).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    return module


@quick
@given(batch=inputs(), glimpses=st.integers(1, 3), mask_words=st.booleans())
def test_summaries_and_weights_equal_the_loops_of_the_reference(batch: Inputs, glimpses: int, mask_words: bool) -> None:
    module = _build(glimpses, mask_words=mask_words)
    p = reference.parameters(module)
    output = module(*batch)
    for b, q in np.ndindex(*batch[0].shape[:2]):
        words, keep, regions, region_keep = (
            tensor.numpy() for tensor in (batch[0][b, q], batch[1][b, q], batch[2][b], batch[3][b])
        )
        expected = bilinear_co_attention(p, words, keep | (not mask_words), regions, region_keep)
        for ours, theirs in zip(output, expected, strict=True):
            if ours is not None:
                np.testing.assert_allclose(ours[b, q].detach().numpy(), theirs, rtol=0, atol=1e-10)


@quick
@given(batch=inputs())
def test_each_map_is_one_distribution_over_all_pairs(batch: Inputs) -> None:
    module = _build()
    p = reference.parameters(module)
    maps = module.maps(*batch)
    words, word_keep, regions, region_keep = batch
    pairs = word_keep.unsqueeze(-1) & region_keep[:, None, None]  # [B Q T R]
    valid = pairs.flatten(2).any(-1, keepdim=True).double()
    torch.testing.assert_close(maps.flatten(3).sum(-1), valid.expand(maps.shape[:3]))
    assert not maps.masked_select(~pairs.unsqueeze(2)).any()
    for b, q, g in np.ndindex(*maps.shape[:3]):
        alone = (tensor.numpy() for tensor in (words[b, q], word_keep[b, q], regions[b], region_keep[b]))
        np.testing.assert_allclose(maps[b, q, g].detach(), bilinear_map(p, g, *alone), rtol=0, atol=1e-10)


def test_a_picture_without_regions_adds_nothing_and_the_words_are_their_sum() -> None:
    words, keep = draw(1, 1, 3, DIM), torch.tensor([[[True, True, False]]])
    output = _build()(words, keep, draw(1, 4, DIM), torch.zeros(1, 4, dtype=torch.bool))
    assert not output.regions.any()
    torch.testing.assert_close(output.words, words[:, :, :2].sum(2))


def test_all_glimpses_look_with_the_words_as_given_and_pool_with_what_earlier_ones_added() -> None:
    module, batch = _build(2), (draw(1, 1, 3, DIM), torch.ones(1, 1, 3) > 0, draw(1, 4, DIM), torch.ones(1, 4) > 0)
    before, pooled = module(*batch), []
    module.pool_words[1].register_forward_hook(lambda _, args, __: pooled.append(args[0]))
    module.join[0].weight.data *= 2  # type: ignore[operator]
    after = module(*batch)
    module.join[0].weight.data *= 0  # type: ignore[operator]
    module(*batch)
    assert torch.equal(after.region_weights, before.region_weights)
    assert torch.equal(pooled[1], batch[0])
    assert not torch.allclose(pooled[0], batch[0], atol=1e-3)


def test_one_glimpse_at_a_single_word_is_low_rank_bilinear_attention() -> None:
    module = _build(1)
    word, regions = draw(1, 1, 1, DIM), draw(1, 4, DIM, seed=1)
    output = module(word, torch.ones(1, 1, 1) > 0, regions, torch.ones(1, 4) > 0)
    fused = torch.relu(module.map_regions(regions)) * torch.relu(module.map_words(word))[:, 0]  # [1 4 K']
    weights = module.score(fused).squeeze(-1).softmax(-1)  # MLB: softmax(h (v' * q'))
    torch.testing.assert_close(output.region_weights[0], weights)
    joint = weights @ torch.relu(module.pool_regions(regions)) * torch.relu(module.pool_words[0](word[:, 0]))
    torch.testing.assert_close(output.regions, module.join[0](joint))


def test_an_offset_of_the_logits_would_change_nothing() -> None:
    module, offset = _build(1), 3.0
    batch = draw(1, 1, 3, DIM), torch.ones(1, 1, 3) > 0, draw(1, 4, DIM), torch.ones(1, 4) > 0
    plain = module(*batch)
    module.distribution.register_forward_pre_hook(lambda _, args: (args[0] + offset, args[1]))
    assert_same(module(*batch), plain)


class _Largest(TorchDispatchMode):
    """Remembers how many numbers the largest tensor has that was made."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [each.numel() for each in tree_leaves(result) if isinstance(each, Tensor)]
        self.numbers = max(self.numbers, *sizes, 0)
        return result


def test_no_tensor_has_a_vector_for_each_pair_of_a_word_and_a_region() -> None:
    words, regions, dim, glimpses, questions = 30, 40, 16, 2, 2
    module = BilinearCoAttention(dim, glimpses, hidden_dim=dim, map_dim=3 * dim)
    asked = torch.randn(1, questions, words, dim, requires_grad=True)
    picture = torch.randn(1, regions, dim, requires_grad=True)
    with _Largest() as largest:
        output = module(asked, torch.ones(1, questions, words) > 0, picture, torch.ones(1, regions) > 0)
        (output.words.sum() + output.regions.sum()).backward()
    assert 0 < largest.numbers <= questions * glimpses * words * max(3 * dim, regions)
    assert largest.numbers < words * regions * dim


def test_without_a_glimpse_there_is_nothing_to_see() -> None:
    with pytest.raises(ValueError, match="at least one glimpse is needed, got 0"):
        BilinearCoAttention(DIM, glimpses=0)
