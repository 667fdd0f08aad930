"""Additive attention without gradients works through the examples in pieces."""

from __future__ import annotations

import pytest
import torch

from common.attention import AdditiveScore, scores


@pytest.mark.parametrize("cached", [1, 2 * 2 * 7 * 5, 10**6], ids=["one at a time", "two at a time", "all at once"])
def test_pieces_give_the_logits_of_the_whole(cached: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scores, "_CACHED", cached)
    score = AdditiveScore(3, 4, hidden_dim=5)
    query, projected = torch.randn(5, 2, 3), score.project(torch.randn(5, 7, 4))
    hidden = torch.tanh(score.map_query(query).unsqueeze(2) + projected.unsqueeze(1))  # [5 2 7 5]
    with torch.no_grad():
        torch.testing.assert_close(score(query, projected), (hidden * score.vector).sum(-1))


def test_no_examples_give_no_logits() -> None:
    score = AdditiveScore(3, 4, hidden_dim=5)
    with torch.no_grad():
        assert score(torch.randn(0, 2, 3), score.project(torch.randn(0, 7, 4))).shape == (0, 2, 7)
