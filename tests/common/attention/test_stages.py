from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from common.attention import ChannelSpatial, StagedChannelSpatial
from tests.common.attention import reference_representations as loops
from tests.common.attention.cases import Problem, problems, quick
from tests.common.attention.reference import parameters

Order = Literal["channel-spatial", "spatial-channel"]
ORDERS: list[Order] = ["channel-spatial", "spatial-channel"]
every_order = pytest.mark.parametrize("order", ORDERS)


def stirred(module: Any) -> Any:
    torch.manual_seed(0)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return module.double().eval()


def look(module: Any, query: Tensor, keys: Tensor, keep: Tensor | None = None) -> Any:
    return module(query, module.prepare(keys, torch.ones(keys.shape[:2], dtype=torch.bool) if keep is None else keep))


@every_order
@pytest.mark.parametrize("rescale", [True, False])
@quick
@given(problem=problems())
def test_each_stage_sees_what_the_one_below_lets_through_as_in_the_reference(
    order: Order, rescale: bool, problem: Problem
) -> None:
    width = problem.keys.shape[-1]
    widths = [1, width - 1]
    module = stirred(StagedChannelSpatial(problem.query.shape[-1], width, widths, 5, order, rescale))
    output = look(module, problem.query, problem.keys, problem.keep)
    p = parameters(module)
    for b, q in np.ndindex(*problem.query.shape[:2]):
        given_ = problem.query[b, q].numpy(), problem.keys[b].numpy(), problem.keep[b].numpy()
        context, looks = loops.staged(p, *given_, widths, order == "channel-spatial", rescale)
        np.testing.assert_allclose(output.context[b, q].detach(), context, rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.parts[b, q].detach(), looks, rtol=0, atol=1e-10)


@every_order
def test_one_stage_is_channel_spatial_attention(order: Order) -> None:
    staged, plain = stirred(StagedChannelSpatial(3, 4, [4], 5, order)), stirred(ChannelSpatial(3, 4, 5, order))
    plain.load_state_dict(staged.stages[0].state_dict())
    query, keys = torch.randn(2, 2, 3).double(), torch.randn(2, 6, 4).double()
    found, expected = look(staged, query, keys), look(plain, query, keys)
    torch.testing.assert_close(found.context, expected.context)
    torch.testing.assert_close(found.weights, expected.weights)


def test_at_the_start_the_stages_are_those_of_the_picture_whatever_lies_below() -> None:
    module = StagedChannelSpatial(3, 4, [1, 3], 5).double()
    query, keys = torch.randn(2, 1, 3).double(), torch.randn(2, 6, 4).double()
    other = torch.cat([keys[..., :1] + 5, keys[..., 1:]], -1)
    torch.testing.assert_close(look(module, query, keys).parts[:, :, 1], look(module, query, other).parts[:, :, 1])


def test_the_last_stage_has_the_places_too() -> None:
    module = StagedChannelSpatial(3, 8, [1, 3], 5)
    assert [stage.spatial.map_key.in_features for stage in module.stages] == [1, 7]


def test_widths_that_are_not_the_keys_and_other_values_are_refused() -> None:
    with pytest.raises(ValueError, match=r"widths \[1, 2\] come to 3, the keys are 4 wide: give the widths"):
        StagedChannelSpatial(3, 4, [1, 2])
    module = StagedChannelSpatial(3, 4, [1, 3], 5)
    with pytest.raises(ValueError, match="give no values beside them"):
        module.prepare(torch.randn(1, 2, 4), torch.ones(1, 2, dtype=torch.bool), torch.randn(1, 2, 4))
