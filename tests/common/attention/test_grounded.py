"""Words that look at the picture in every layer, against loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import nn

from common.attention import GroundedWords
from tests.common.attention import reference
from tests.common.attention.cases import quick
from tests.common.attention.co_kinds import DIM, Inputs, draw, inputs
from tests.common.attention.reference_grounded import grounded_words


def _build(layers: int = 2) -> GroundedWords:
    torch.manual_seed(0)
    module = GroundedWords(DIM, layers, heads=2, dropout=0.0).double().eval()
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    return module


@pytest.mark.parametrize("layers", [1, 3])
@quick
@given(batch=inputs())
def test_summaries_and_weights_equal_the_loops_of_the_reference(layers: int, batch: Inputs) -> None:
    module = _build(layers)
    p = reference.parameters(module)
    output = module(*batch)
    for b, q in np.ndindex(*batch[0].shape[:2]):
        pair = [tensor.numpy() for tensor in (batch[0][b, q], batch[1][b, q], batch[2][b], batch[3][b])]
        for ours, theirs in zip(output, grounded_words(p, *pair, heads=2), strict=True):
            np.testing.assert_allclose(ours[b, q].detach().numpy(), theirs, rtol=0, atol=1e-10)


def test_the_map_says_what_the_summary_of_the_regions_is_made_of() -> None:
    words, regions = draw(2, 3, 4, DIM), draw(2, 5, DIM, seed=1)
    output = _build()(words, torch.ones(2, 3, 4) > 0, regions, torch.ones(2, 5) > 0)
    torch.testing.assert_close(output.regions, output.region_weights @ regions)
    assert output.region_parts is not None
    torch.testing.assert_close(output.region_parts.mean(2), output.region_weights)
    torch.testing.assert_close(output.region_parts.sum(-1), torch.ones(2, 3, 2).double())


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one layer is needed, got 0"):
        GroundedWords(DIM, layers=0)
