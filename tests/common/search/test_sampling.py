from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from common.data.vocabulary import END, PAD, START, UNKNOWN
from common.errors import ConfigError
from common.search import Sampling, sample
from common.search.sampling import draw
from tests.common.search.scripted import WORDS, Scripted, pictures

TABLE = {START: {4: 0.5, 5: 0.3, 6: 0.2}, 4: {END: 0.7, 6: 0.3}, 5: {5: 0.6, END: 0.4}, 6: {END: 1.0}}
CRITICAL = {
    3: 16.27,
    4: 18.47,
    5: 20.52,
    7: 24.32,
    8: 26.12,
}  # of chi-square at one in a thousand, by degrees of freedom


def written(tokens: Tensor) -> tuple[int, ...]:
    return tuple(word for word in tokens.tolist() if word != PAD)


def chi_square(counts: Counter[Any], expected: dict[Any, float]) -> float:
    """How far counts are from probabilities."""
    number = sum(counts.values())
    return sum((counts[key] - number * chance) ** 2 / (number * chance) for key, chance in expected.items())


def test_sequences_come_as_often_as_the_model_says() -> None:
    chances = {(4, END): 0.35, (4, 6, END): 0.15, (5, END): 0.12, (5, 5, END): 0.18, (6, END): 0.2}
    found = sample(Scripted(TABLE), pictures(2), 2000, Sampling(longest=2))
    counts = Counter(map(written, found.tokens.flatten(0, 1)))
    assert set(counts) == set(chances)
    assert chi_square(counts, chances) < CRITICAL[len(chances) - 1]


@pytest.mark.parametrize(
    ("sampling", "chances"),
    [
        (Sampling(), [0.4, 0.3, 0.2, 0.1]),
        (Sampling(temperature=0.5), [0.16, 0.09, 0.04, 0.01]),
        (Sampling(temperature=2.0), [0.4**0.5, 0.3**0.5, 0.2**0.5, 0.1**0.5]),
        (Sampling(top_k=2), [0.4, 0.3, 0, 0]),
        (Sampling(top_k=9), [0.4, 0.3, 0.2, 0.1]),
        (Sampling(top_p=0.71), [0.4, 0.3, 0.2, 0]),
        (Sampling(top_p=0.69), [0.4, 0.3, 0, 0]),
        (Sampling(top_p=0.01), [0.4, 0, 0, 0]),
        (Sampling(temperature=0.5, top_k=3, top_p=0.6), [0.16, 0.09, 0, 0]),
    ],
)
def test_temperature_and_cuts_make_the_distribution_they_promise(sampling: Sampling, chances: list[float]) -> None:
    log_probs = torch.full((WORDS,), -torch.inf)
    log_probs[[5, END, 6, 4]] = torch.tensor([0.4, 0.3, 0.2, 0.1]).log()
    counts = Counter(draw(log_probs.expand(4000, -1) / sampling.temperature, sampling).tolist())
    total = sum(chances)
    expected = {word: chance / total for word, chance in zip((5, END, 6, 4), chances, strict=True) if chance}
    assert set(counts) == set(expected)
    assert chi_square(counts, expected) < CRITICAL[3]


def test_padding_start_and_unknown_word_are_never_drawn() -> None:
    tempted = Scripted({word: {PAD: 0.3, START: 0.3, UNKNOWN: 0.3, 4: 0.05, END: 0.05} for word in range(WORDS)})
    found = sample(tempted, pictures(1), 200, Sampling(longest=4))
    assert set(found.tokens[found.keep].tolist()) <= {END, 4, 5, 6}


def test_samples_end_once_then_padding_follows_that_counts_nothing() -> None:
    model = Scripted(TABLE)
    found = sample(model, pictures(3), 50, Sampling(longest=5))
    assert found.tokens.shape == found.keep.shape == found.log_probs.shape
    assert found.keep.any(1).any(0).all(), "no column is padding alone"
    assert ((found.tokens == END).sum(-1) == 1).all()
    assert (found.tokens.eq(PAD) == ~found.keep).all()
    for tokens, log_probs in zip(found.tokens.flatten(0, 1), found.log_probs.flatten(0, 1), strict=True):
        words = written(tokens)
        expected = [model.log_probs[pair].item() for pair in zip((START, *words), words, strict=False)]
        assert log_probs.tolist() == pytest.approx(expected + [0.0] * (len(tokens) - len(words)))


def test_log_probabilities_are_the_models_own_whatever_the_temperature() -> None:
    found = sample(Scripted(TABLE), pictures(1), 20, Sampling(temperature=0.1, top_k=1))
    assert (found.tokens == torch.tensor([4, END])).all()
    torch.testing.assert_close(found.log_probs[0, 0], torch.tensor([0.5, 0.7]).log())


@pytest.mark.parametrize("longest", [1, 3])
def test_no_sample_is_longer_than_the_longest(longest: int) -> None:
    endless = Scripted({word: {4: 0.5, 5: 0.5} for word in (START, 4, 5)})
    found = sample(endless, pictures(2), 3, Sampling(longest))
    assert found.tokens.shape == (2, 3, longest + 1)
    assert (found.tokens[..., -1] == END).all()


def test_the_same_seed_draws_the_same() -> None:
    draws = []
    for _ in range(2):
        torch.manual_seed(5)
        draws.append(sample(Scripted(TABLE), pictures(2), 10, Sampling()).tokens)
    assert torch.equal(*draws)


def test_a_model_that_has_diverged_is_still_drawn_from() -> None:
    model = Scripted({word: dict.fromkeys(range(WORDS), math.nan) for word in range(WORDS)})
    assert sample(model, pictures(2), 2, Sampling(longest=3)).log_probs.isnan().any()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("longest", 0, "sampling.longest must be at least 1, not 0"),
        ("temperature", 0.0, "sampling.temperature must be above 0, not 0.0: for the likeliest words search greedily"),
        ("temperature", math.nan, "sampling.temperature must be above 0, not nan"),
        ("top_k", -1, "sampling.top_k must be at least 0, not -1"),
        ("top_p", 0.0, "sampling.top_p must be above 0 and at most 1, not 0.0"),
        ("top_p", 1.5, "sampling.top_p must be above 0 and at most 1, not 1.5"),
    ],
)
def test_settings_that_draw_nothing_are_refused(name: str, value: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(Sampling(), **{name: value})
