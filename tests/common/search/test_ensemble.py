from __future__ import annotations

from typing import Any

import pytest
import torch

from common.data.vocabulary import START
from common.search import Search, beam_search
from common.search.ensemble import Ensemble, Views
from tests.common.search.scripted import Tables, pictures_of


def first_step(*members: Any) -> Any:
    ensemble = Ensemble(members)
    features = Views(tuple(pictures_of(0, 1) for _ in members))
    return ensemble.step(torch.tensor([[START], [START]]), ensemble.start(features))


def test_an_ensemble_of_one_is_the_model() -> None:
    model, features = Tables(6, sharpness=2.0), pictures_of(*range(6))
    search = Search(4, 6, best=3)
    alone = beam_search(model, features, search)
    together = beam_search(Ensemble([model]), Views((features,)), search)
    for one, other in zip(alone, together, strict=True):
        assert [(each.tokens, each.score) for each in one] == [(each.tokens, each.score) for each in other]
        assert all(torch.equal(*pair) for pair in zip(one[0][2:], other[0][2:], strict=True))


def test_probabilities_and_weights_are_the_mean_of_the_members() -> None:
    members = [Tables(2, sharpness=2.0) for _ in range(3)]
    step = first_step(*members)
    expected = torch.stack([member.log_probs[:2, 0, START].exp() for member in members]).mean(0)
    torch.testing.assert_close(step.log_probs[:, 0].exp(), expected)
    assert step.attention.weights.sum(-1).allclose(torch.ones(2, 1, dtype=torch.float64))


def test_the_optimum_of_the_mean_is_found_where_each_picture_is_seen_by_each_member() -> None:
    members, merged = [Tables(3) for _ in range(2)], Tables(3)
    merged.log_probs = torch.stack([member.log_probs.exp() for member in members]).mean(0).log()
    features = pictures_of(0, 1, 2)
    found = beam_search(Ensemble(members), Views((features, features)), Search(121, 4))
    for picture, hypotheses in enumerate(found):
        score, words = merged.ranked(picture, 4)[0]
        assert tuple(hypotheses[0].tokens) == words
        assert hypotheses[0].score == pytest.approx(score)


class Blinkered(Tables):
    """Looks at fewer regions."""

    def step(self, tokens: Any, state: Any) -> Any:
        step = super().step(tokens, state)
        narrow = step.attention._replace(weights=step.attention.weights[..., :3])
        return type(step)(step.log_probs, step.state, narrow)


def test_members_that_see_different_regions_have_no_map_in_common() -> None:
    assert first_step(Tables(2), Blinkered(2)).attention.weights.shape == (2, 1, 0)
    features = pictures_of(0, 1)
    found = beam_search(Ensemble([Tables(2), Blinkered(2)]), Views((features, features)), Search(3, 4))
    assert found[0][0].weights.shape == (len(found[0][0].tokens) + 1, 0)
