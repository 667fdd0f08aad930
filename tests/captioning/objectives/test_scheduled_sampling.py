from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from captioning.objectives import (
    Captions,
    CrossEntropy,
    ExponentialDecay,
    InverseSigmoidDecay,
    LinearDecay,
    Objective,
    ScheduledSampling,
)
from captioning.objectives.scheduled_sampling import Schedule
from common.data.vocabulary import END, START
from common.errors import ConfigError
from common.training.parts import Part, build
from tests.captioning.decoders import cases
from tests.captioning.objectives.toy import WORDS, A, B, Toy, batch

DECODERS = ("show, attend and tell", "adaptive", "meshed")


class Always(Schedule):
    def __init__(self, probability: float) -> None:
        self.probability = probability

    def truth(self, step: int) -> float:
        return self.probability


def sampling(truth: float, **settings: Any) -> ScheduledSampling:
    return ScheduledSampling([CrossEntropy()], Always(truth), **settings)


def given(name: str) -> Captions:
    """Captions in a decoder that hardly ever ends."""
    decoder, features = cases.build(name), cases.pictures()
    with torch.no_grad():
        decoder.output.bias[END] -= 100  # type: ignore[operator, union-attr]
    tokens, keep = cases.captions()
    return Captions(decoder, features, tokens, torch.roll(tokens, -1, -1), keep, ())


@pytest.mark.parametrize(
    ("schedule", "step", "expected"),
    [
        (LinearDecay(0.1), 0, 1.0),
        (LinearDecay(0.1, start=0.9, floor=0.25), 3, 0.9 - 0.3),
        (LinearDecay(0.1, start=0.9, floor=0.25), 1000, 0.25),
        (ExponentialDecay(0.99), 7, 0.99**7),
        (InverseSigmoidDecay(50.0), 0, 50 / 51),
        (InverseSigmoidDecay(50.0), 100, 50 / (50 + math.exp(2))),
        (InverseSigmoidDecay(50.0), 10**6, 0.0),
    ],
)
def test_the_schedules_are_those_of_the_paper(schedule: Schedule, step: int, expected: float) -> None:
    assert schedule.truth(step) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("LinearDecay", {"slope": -1.0}, "needs slope >= 0"),
        ("LinearDecay", {"slope": 0.1, "start": 0.2, "floor": 0.5}, "floor <= start"),
        ("ExponentialDecay", {"k": 1.5}, "k must be between 0 and 1, got 1.5"),
        ("InverseSigmoidDecay", {"k": 0.5}, "k must be at least 1, got 0.5"),
    ],
)
def test_impossible_schedules_are_refused(name: str, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build({"class_path": f"captioning.objectives.{name}", "init_args": settings}, Schedule)


def recipe(**settings: Any) -> Part:
    schedule = {"class_path": "captioning.objectives.LinearDecay", "init_args": {"slope": 0.1}}
    inner: list[Any] = [{"class_path": "captioning.objectives.CrossEntropy"}]
    settings = {"schedule": schedule, "objectives": inner} | settings
    return {"class_path": "captioning.objectives.ScheduledSampling", "init_args": settings}


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"passes": 0}, "passes must be at least 1, or null"), ({"objectives": []}, "objectives is empty: name one")],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        build(recipe(**settings), Objective, vocabulary=WORDS)


def test_objectives_within_are_made_from_their_recipes() -> None:
    inner = [{"class_path": "captioning.objectives.SupervisedAttention"}]
    made = build(recipe(objectives=inner), Objective, vocabulary=WORDS)
    assert isinstance(made, ScheduledSampling)
    assert made.objectives[0].vocabulary is WORDS


@pytest.mark.parametrize("passes", [None, 1])
def test_only_the_truth_is_teacher_forcing(passes: int | None) -> None:
    captions = given("show, attend and tell")
    assert torch.equal(sampling(1.0, passes=passes).mixed(captions, 1.0), captions.inputs)
    terms = sampling(1.0, passes=passes)(captions)
    torch.testing.assert_close(terms["cross_entropy"], CrossEntropy()(captions)["cross_entropy"])


@pytest.mark.parametrize("name", DECODERS)
def test_without_the_truth_the_decoder_reads_what_it_would_write(name: str) -> None:
    captions = given(name)
    read = sampling(0.0, likeliest=True).mixed(captions, 0.0)
    state, word = captions.decoder.start(captions.features, 3), captions.inputs[..., 0]
    for position in range(1, read.shape[-1]):
        step = captions.decoder.step(word, state)
        state = step.state
        allowed = step.log_probs.clone()
        allowed[..., [0, START, 3]] = -torch.inf
        best = allowed.argmax(-1)
        word = torch.where(best == END, captions.inputs[..., position], best)
        assert torch.equal(read[..., position], word)


@pytest.mark.parametrize("name", DECODERS)
def test_as_many_passes_as_words_come_to_the_same_as_word_by_word(name: str) -> None:
    captions = given(name)
    whole = replace(captions, keep=torch.ones_like(captions.keep))
    mixtures = []
    for passes in (None, whole.inputs.shape[-1]):
        torch.manual_seed(3)  # the same coins
        mixtures.append(sampling(0.4, passes=passes, likeliest=True).mixed(whole, 0.4))
    assert torch.equal(*mixtures)
    assert not torch.equal(mixtures[0], whole.inputs)


@pytest.mark.parametrize("passes", [None, 1])
def test_words_are_drawn_as_often_as_the_model_says_and_each_by_its_own_coin(passes: int | None) -> None:
    decoder = Toy()
    with torch.no_grad():
        decoder.table[:, END] = -torch.inf
    captions = batch(decoder)
    several = 4000
    inputs = torch.tensor([START, A, A]).expand(1, several, 3)
    captions = replace(captions, inputs=inputs, targets=inputs, keep=torch.ones_like(inputs, dtype=torch.bool))
    read = sampling(0.25, passes=passes).mixed(captions, 0.25)[0]
    assert (read[:, 0] == START).all(), "never at the start"
    b_first = decoder.table[START, [A, B]].softmax(-1)[1].item()
    assert (read[:, 1] == B).float().mean().item() == pytest.approx(0.75 * b_first, abs=0.03)
    b_second = decoder.table[A, [A, B]].softmax(-1)[1].item()
    after_a = read[read[:, 1] == A]
    assert (after_a[:, 2] == B).float().mean().item() == pytest.approx(0.75 * b_second, abs=0.04)


def test_an_end_that_is_drawn_is_not_read() -> None:
    decoder = Toy()
    with torch.no_grad():
        decoder.table[:, END] = 100.0
    captions = batch(decoder)
    for passes in (None, 1):
        assert torch.equal(sampling(0.0, passes=passes).mixed(captions, 0.0), captions.inputs)


def test_no_gradient_flows_through_the_draws() -> None:
    captions = given("show, attend and tell")
    read = sampling(0.5).mixed(captions, 0.5)
    assert not read.requires_grad
    terms = sampling(0.5)(captions)
    terms["cross_entropy"].backward()
    assert next(captions.decoder.parameters()).grad is not None


def test_the_schedule_moves_on_in_training_only_and_is_kept() -> None:
    objective = ScheduledSampling([CrossEntropy()], LinearDecay(0.1))
    captions = given("show, attend and tell")
    shown = []
    for _ in range(3):
        objective(captions)
        shown.append(objective.readings()["truth_read"])
    assert shown == pytest.approx([1.0, 0.9, 0.8])
    term = objective.eval()(captions)["cross_entropy"]
    torch.testing.assert_close(term, CrossEntropy()(captions)["cross_entropy"])
    other = ScheduledSampling([CrossEntropy()], LinearDecay(0.1))
    other.load_state_dict(objective.state_dict())
    assert other.step == 3
