from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.typing import NDArray

from common.attention import GlimpseAttention
from tests.common.attention.cases import WIDTH, Problem, problems, quick
from tests.common.attention.reference import Array, Parameters, masked, parameters, softmax


def glimpses(p: Parameters, query: Array, items: Array, keep: NDArray[np.bool_]) -> tuple[Array, Array]:
    """What each glimpse saw [G D], and its weights [G N], item by item."""
    hidden = [np.maximum(p["map_key.weight"] @ x + p["map_key.bias"] + p["map_query.weight"] @ query, 0) for x in items]
    weights = np.array([masked(softmax, np.array([w @ h for h in hidden]), keep) for w in p["score.weight"]])
    seen = [sum((a * x for a, x in zip(row, items, strict=True)), np.zeros(items.shape[1])) for row in weights]
    return np.array(seen), weights


@pytest.mark.parametrize("join", [True, False])
@quick
@given(problem=problems())
def test_glimpses_agree_with_the_loops_of_the_reference(join: bool, problem: Problem) -> None:
    attention = GlimpseAttention(WIDTH, WIDTH, 3, hidden_dim=5, join=join, dropout=0.5).double().eval()
    output = attention(problem.query, attention.prepare(problem.keys, problem.keep))
    p = parameters(attention)
    assert output.parts is not None
    for b, q in np.ndindex(*problem.query.shape[:2]):
        keep = problem.keep[b].numpy()
        seen, weights = glimpses(p, problem.query[b, q].numpy(), problem.keys[b].numpy(), keep)
        context = p["join.weight"] @ seen.flatten() + p["join.bias"] if join else seen.flatten()
        np.testing.assert_allclose(output.context[b, q].detach(), context, rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.parts[b, q].detach(), weights, rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.weights[b, q].detach(), weights.mean(0), rtol=0, atol=1e-10)


def test_glimpses_read_values_that_are_not_the_keys() -> None:
    attention = GlimpseAttention(WIDTH, WIDTH, 2, hidden_dim=5, join=False)
    keys, values, keep = torch.randn(1, 4, WIDTH), torch.randn(1, 4, 2), torch.ones(1, 4, dtype=torch.bool)
    output = attention(torch.randn(1, 1, WIDTH), attention.prepare(keys, keep, values))
    assert output.parts is not None
    torch.testing.assert_close(output.context[0, 0], (output.parts[0, 0] @ values[0]).flatten())


def test_no_glimpse_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one glimpse is needed, got 0"):
        GlimpseAttention(4, 4, glimpses=0)
