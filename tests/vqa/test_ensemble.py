from __future__ import annotations

import pytest
import torch

from common.errors import CheckpointError, ConfigError, DataError
from tests.vqa import recipes
from tests.vqa.recipes import BLIND
from vqa.ensemble import VQAEnsemble, answer_together, expected_gains, load_members, weighed_measures
from vqa.module import VQAModule
from vqa.questions import Question

SIGMOIDS: recipes.Part = {"class_path": "vqa.objectives.BinaryCrossEntropy"}


@pytest.fixture(scope="module")
def members(scenes: str) -> tuple[list[VQAModule], recipes.VQAData]:
    """One that looks, and a blind one whose probabilities are those of sigmoids."""
    torch.manual_seed(0)
    looks, source = recipes.attached(scenes)
    blind = recipes.module(source, model=BLIND, co_attention=None, objective=SIGMOIDS)
    for each in (looks, blind):
        recipes.overfit(each, next(iter(source.val_dataloader())), steps=5)
    return [looks, blind], source


def test_models_answer_by_the_mean_of_their_probabilities(members: tuple[list[VQAModule], recipes.VQAData]) -> None:
    (looks, blind), source = members
    looks.temperature = 2.0
    predictions = answer_together(VQAEnsemble([looks, blind]), [source.val_dataloader()] * 2)
    assert set(predictions) == {record.question_id for record in source.records("val")}
    for batch in source.val_dataloader():
        with torch.no_grad():
            sigmoids = blind(batch).logits.sigmoid()
            both = (looks(batch).logits / 2).softmax(-1) + sigmoids / sigmoids.sum(-1, keepdim=True)
        for row, records in enumerate(batch.records):
            for column, record in enumerate(records):
                scores, classes = (both[row, column] / 2).sort(descending=True)
                told = predictions[record.question_id]
                ranked = [told, *told.alternatives]
                assert [each.score for each in ranked] == pytest.approx(scores[: len(ranked)].tolist(), abs=1e-5)
                assert told.text == source.answers[int(classes[0])]
                assert told.maps == {}
    looks.temperature = 1.0


def test_the_answer_may_be_the_one_of_greatest_expected_wups(
    members: tuple[list[VQAModule], recipes.VQAData],
) -> None:
    (looks, _), source = members
    near = {frozenset(pair): 0.95 for pair in (("red", "blue"), ("red", "green"))}

    def similarity(one: str, other: str) -> float:
        return near.get(frozenset((one, other)), 0.5)

    gains = expected_gains(source.answers, similarity, {"0.9": 1.0})
    place = source.answers.index
    assert gains[place("red"), place("blue")] == pytest.approx(0.95)
    assert gains[place("red"), place("red")] == 1
    assert gains[place("blue"), place("green")] == pytest.approx(0.05)  # below the threshold: a tenth
    batch = next(iter(source.val_dataloader()))
    asked = [[record.question for record in records] for records in batch.records]
    with torch.no_grad():
        probabilities = looks(batch).logits.softmax(-1)
    for row, found in enumerate(VQAEnsemble([looks], gains).answer([batch.visual], asked)):
        for column, told in enumerate(found):
            worth = [sum(p * g for p, g in zip(probabilities[row, column], line, strict=True)) for line in gains]
            assert told.score == pytest.approx(float(max(worth)), abs=1e-5)
            assert told.text == source.answers[worth.index(max(worth))]


def test_several_measures_are_expected_as_their_weighed_mean(members: tuple[list[VQAModule], recipes.VQAData]) -> None:
    answers = members[1].answers

    def similarity(one: str, other: str) -> float:
        return 0.95

    both = expected_gains(answers, similarity, {"accuracy": 3.0, "0.9": 1.0})
    assert both.diagonal().tolist() == pytest.approx([1.0] * len(answers))
    assert both[0, 1] == pytest.approx(0.95 / 4)
    assert expected_gains(answers, None, {"accuracy": 2.0}).equal(torch.eye(len(answers)))
    with pytest.raises(ConfigError, match=r"--expect 0\.0 reckons with WUPS: give --similarity"):
        expected_gains(answers, None, {"accuracy": 1.0, "0.0": 1.0})


def test_measures_are_weighed_as_the_command_line_says() -> None:
    assert weighed_measures(["accuracy=2.5", "0.0"]) == {"accuracy": 2.5, "0.0": 1.0}
    assert weighed_measures([]) == {}


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (["0.5"], "--expect 0.5: '0.5' is none of accuracy, 0.9, 0.0"),
        (["0.9", "0.9=2"], "--expect names 0.9 twice: give it a weight, such as 0.9=2"),
        (["accuracy=much"], "--expect accuracy=much: a weight is a number above 0, as in accuracy=2"),
        (["accuracy="], "--expect accuracy=: a weight is a number above 0, as in accuracy=2"),
        (["accuracy=-1"], "--expect accuracy=-1: a weight is a number above 0, as in accuracy=2"),
        (["accuracy=nan"], "--expect accuracy=nan: a weight is a number above 0, as in accuracy=2"),
        (["accuracy=inf"], "--expect accuracy=inf: a weight is a number above 0, as in accuracy=2"),
    ],
)
def test_other_measures_and_weights_are_refused(given: list[str], fault: str) -> None:
    with pytest.raises(ConfigError) as refused:
        weighed_measures(given)
    assert str(refused.value) == fault


def test_an_answer_of_expected_worth_is_not_chosen_among_few(members: tuple[list[VQAModule], recipes.VQAData]) -> None:
    (looks, _), source = members
    batch = next(iter(source.val_dataloader()))
    ensemble = VQAEnsemble([looks], torch.eye(len(source.answers)))
    asked = [[Question("what colour ?", choices=("red", "blue"))] for _ in batch.records]
    with pytest.raises(DataError, match="all known answers, and 'what colour \\?' has choices: leave it out"):
        ensemble.answer([batch.visual], asked)


def test_members_count_as_they_are_weighed(members: tuple[list[VQAModule], recipes.VQAData]) -> None:
    (looks, blind), source = members
    batch = next(iter(source.val_dataloader()))
    asked = [[record.question for record in records] for records in batch.records]
    with torch.no_grad():
        sigmoids = blind(batch).logits.sigmoid()
        mean = 0.75 * looks(batch).logits.softmax(-1) + 0.25 * sigmoids / sigmoids.sum(-1, keepdim=True)
    found = VQAEnsemble([looks, blind], weights=[3, 1]).answer([batch.visual] * 2, asked)
    for row, answers in enumerate(found):
        assert [each.score for each in answers] == pytest.approx(mean[row, : len(answers)].amax(-1).tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("weights", "fault"),
    [
        ([1.0], "as many weights as models are wanted, 2, not 1"),
        ([1.0, -1.0], "must not be negative"),
        ([0.0, 0.0], "one of them above 0"),
    ],
)
def test_weights_that_make_no_mean_are_refused(
    members: tuple[list[VQAModule], recipes.VQAData], weights: list[float], fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        VQAEnsemble(members[0], weights=weights)


def test_one_model_alone_answers_as_it_does_by_itself(members: tuple[list[VQAModule], recipes.VQAData]) -> None:
    (looks, _), source = members
    batch = next(iter(source.val_dataloader()))
    asked = [[record.question for record in records] for records in batch.records]
    (alone,), (itself,) = VQAEnsemble([looks]).answer([batch.visual], asked)[:1], looks.answer(batch.visual, asked)[:1]
    assert [each.text for each in alone] == [each.text for each in itself]
    assert all(each.maps.keys() == {"image", "question"} for each in alone)


def test_models_that_know_other_answers_or_write_them_do_not_answer_together(
    monkeypatch: pytest.MonkeyPatch, members: tuple[list[VQAModule], recipes.VQAData]
) -> None:
    (looks, blind), source = members
    other = recipes.module(source, model=BLIND, co_attention=None)
    other.answers = other.answers[::-1]
    writer = recipes.module(source, model=BLIND, co_attention=None)
    writer.head = torch.nn.Identity()  # type: ignore[assignment]
    files = {"a": looks, "b": blind, "other": other, "writer": writer}
    monkeypatch.setattr("vqa.ensemble.load_module", lambda path, _: files[path])
    cpu = torch.device("cpu")
    assert load_members(["a", "b"], cpu) == [looks, blind]
    assert load_members(["writer"], cpu) == [writer]
    with pytest.raises(CheckpointError, match="other knows other answers than a: models answer together from one list"):
        load_members(["a", "other"], cpu)
    for paths, classes in ((["a", "writer"], None), (["writer"], True)):
        with pytest.raises(CheckpointError, match="writer does not choose among known answers"):
            load_members(paths, cpu, classes)
