from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from common.data.batches import ImageBatch
from common.data.records import VQARecord
from common.data.vocabulary import END, START, Vocabulary
from common.errors import ConfigError, DataError
from tests.vqa import recipes
from vqa.data import VQABatch
from vqa.heads import AnswerHead, ChoiceHead, ClassHead, GeneratedAnswer
from vqa.objectives import BinaryCrossEntropy, LabelCrossEntropy, SoftCrossEntropy
from vqa.questions import Choices, Encoding, Question, Texts

ANSWERS = ["yes", "no", "2", "red"]
WORDS = Vocabulary.build([["a", "red", "dog", "cat"]])


def batch(targets: Tensor, votes: Tensor | None = None, choices: Choices | None = None) -> VQABatch:
    """Questions of one word, of which those without a target in the last column are not asked."""
    keep = targets[..., -1:] >= 0
    visual = ImageBatch(torch.zeros(len(targets), 3, 4, 4, dtype=torch.uint8), torch.zeros(len(targets), 4))
    return VQABatch(visual, keep.long(), keep, targets, targets if votes is None else votes, (), None, choices)


# Known answers


def test_known_answers_are_ranked_by_their_probabilities() -> None:
    head = ClassHead(ANSWERS, LabelCrossEntropy())
    logits = torch.tensor([[[0.0, math.log(3), math.log(4), math.log(2)]]])
    ((found,),) = head.answers(logits, [[Question("is it")]])
    assert found.choices == ()
    assert [answer for answer, _ in found.best] == ["2", "no", "red", "yes"]
    assert [probability for _, probability in found.best] == pytest.approx([0.4, 0.3, 0.2, 0.1])


def test_the_probabilities_are_those_that_the_objective_trains() -> None:
    head = ClassHead(ANSWERS, BinaryCrossEntropy())
    ((found,),) = head.answers(torch.tensor([[[0.0, math.log(3), -9.0, -9.0]]]), [[Question("is it")]])
    assert dict(found.best[:2]) == pytest.approx({"no": 0.75, "yes": 0.5})


def test_with_choices_the_answer_is_one_of_them_and_unknown_ones_come_last() -> None:
    head = ClassHead(ANSWERS, LabelCrossEntropy())
    logits = torch.tensor([[[9.0, 0.0, math.log(3), 0.0], [9.0, 0.0, math.log(3), 0.0]]])
    asked = [Question("how many", choices=("No", "blue", "Two.")), Question("what", choices=("blue", "green"))]
    ((first, second),) = head.answers(logits, [asked])
    assert [answer for answer, _ in first.best] == ["Two.", "No", "blue"]
    assert [probability for _, probability in first.best] == pytest.approx([0.75, 0.25, 0])
    assert first.choices == pytest.approx((0.0, -math.inf, math.log(3)))
    assert second == ([("blue", 0.5), ("green", 0.5)], (-math.inf, -math.inf))


# Choices by their words


def choices() -> tuple[ChoiceHead, Choices, list[list[Question]]]:
    torch.manual_seed(0)
    head = ChoiceHead(WORDS, LabelCrossEntropy(), dim=4)
    asked = [[Question("a", choices=("a red dog", "cat", "a red dog")), Question("b", choices=("dog", "cat"))]]
    texts = Encoding(WORDS).texts([[question.choices for question in row] for row in asked])
    keep = torch.tensor([[[True, True, True], [True, True, False]]])
    return head, Choices(texts, keep, torch.tensor([[[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]])), asked


def test_choices_are_scored_by_the_product_of_their_words_with_the_output() -> None:
    head, offered, asked = choices()
    output = torch.randn(1, 2, 4)
    (answers,) = head.answers(output, asked)
    encoding = Encoding(WORDS)
    for question, ranked, z in zip(asked[0], answers, output[0], strict=True):
        tokens = [torch.tensor([encoding.encode(choice)]) for choice in question.choices]
        logits = torch.stack([head.choices.sentence(each, each > 0)[0] @ z / 2 for each in tokens])
        probabilities = logits.softmax(0)
        assert ranked.choices == pytest.approx(logits.tolist(), abs=1e-6)
        assert [p for _, p in ranked.best] == pytest.approx(probabilities.sort(descending=True).values.tolist())
        assert ranked.best[0][0] == question.choices[int(probabilities.argmax())]
    scored = batch(torch.zeros(1, 2, 3), choices=offered)
    expected = [-math.log(dict(answers[0].best)["cat"]), -math.log(dict(answers[1].best)["dog"])]
    assert head.losses(output, scored)["cross_entropy"].item() == pytest.approx(sum(expected) / 2, rel=1e-5)
    right = [answers[0].best[0][0] == "cat", answers[1].best[0][0] == "dog"]
    assert head.accuracy(output, scored).item() == pytest.approx(100 * sum(right) / 2)


@pytest.mark.parametrize("objective", [LabelCrossEntropy(), LabelCrossEntropy(0.2), BinaryCrossEntropy()])
def test_choices_that_are_not_there_cost_and_teach_nothing(objective: Any) -> None:
    head, offered, _ = choices()
    head.objective = objective
    output = torch.randn(1, 2, 4, requires_grad=True)
    (loss,) = head.losses(output, batch(torch.zeros(1, 2, 3), choices=offered)).values()
    loss.backward()
    assert loss < 5
    wide = Choices(offered.texts, offered.keep.clone(), offered.scores)
    wide.keep[0, 1] = False
    (first,) = head.losses(output, batch(torch.zeros(1, 2, 3), choices=wide)).values()
    texts = Texts(offered.texts.tokens[:, :1], offered.texts.keep[:, :1])
    alone = Choices(texts, wide.keep[:, :1], offered.scores[:, :1])
    (expected,) = head.losses(output[:, :1], batch(torch.zeros(1, 1, 3), choices=alone)).values()
    torch.testing.assert_close(first, expected)


def test_more_choices_than_a_prediction_names_are_all_scored_in_their_order() -> None:
    head, _, _ = choices()
    offered = tuple(f"dog {number}" for number in range(100))
    ((found,),) = head.answers(torch.randn(1, 1, 4), [[Question("a", choices=offered)]])
    assert (len(found.best), len(found.choices)) == (5, 100)


def test_smoothed_labels_are_spread_over_the_choices_that_there_are() -> None:
    head, offered, asked = choices()
    head.objective, output = LabelCrossEntropy(0.2), torch.randn(1, 2, 4)
    logits = [torch.tensor(ranked.choices).log_softmax(0) for ranked in head.answers(output, asked)[0]]
    expected = [0.8 * row[true] + 0.2 * row.mean() for row, true in zip(logits, (1, 0), strict=True)]
    loss = head.losses(output, batch(torch.zeros(1, 2, 3), choices=offered))["cross_entropy"]
    assert loss.item() == pytest.approx(-sum(expected).item() / 2, rel=1e-5)


def test_a_question_without_choices_is_refused() -> None:
    head, _, _ = choices()
    with pytest.raises(DataError, match=r"^'what' comes without choices, which this model chooses from: give some$"):
        head.answers(torch.zeros(1, 1, 4), [[Question("what")]])
    record = VQARecord(Path("a.png"), 7, "what", 42, ("red",))
    unoffered = replace(batch(torch.zeros(1, 1, 3)), records=((record,),))
    message = r"^no question of a batch, such as 42 \('what'\), comes with choices, which this model .*: give each some"
    with pytest.raises(DataError, match=message):
        head.losses(torch.zeros(1, 1, 4), unoffered)


# Written answers


def writer() -> GeneratedAnswer:
    torch.manual_seed(0)
    return GeneratedAnswer(["red dog", "cat", "a red cat"], dim=8).eval()


def test_the_loss_is_the_mean_over_the_words_of_the_most_common_answer_and_its_end() -> None:
    head, output = writer(), torch.randn(1, 2, 8)
    votes = torch.tensor([[[0.6, 0.2, 0.0], [0.0, 0.0, 0.0]]])  # the second has no known answer
    loss = head.losses(output, batch(votes))["cross_entropy"]
    texts = [START, *head.words.encode(["red", "dog"]), END]
    logits = head.decoder(output[0, :1], torch.tensor([texts[:-1]]))[0].log_softmax(-1)
    assert loss.item() == pytest.approx(-sum(logits[t, word].item() for t, word in enumerate(texts[1:])) / 3, rel=1e-5)
    assert head.losses(output, batch(torch.zeros(1, 2, 3)))["cross_entropy"] == 0


def test_step_by_step_the_decoder_is_what_it_is_at_once_and_answers_have_their_probability() -> None:
    head, output = writer(), torch.randn(1, 1, 8)
    ((found,),) = head.answers(output, [[Question("what")]])
    assert 1 < len(found.best) <= 5
    assert [p for _, p in found.best] == sorted((p for _, p in found.best), reverse=True)
    for text, probability in found.best:
        words = [START, *head.words.encode(text.split()), END]
        logits = head.decoder(output[0], torch.tensor([words[:-1]]))[0].log_softmax(-1)
        total = sum(logits[t, word].item() for t, word in enumerate(words[1:]))
        assert probability == pytest.approx(math.exp(total), rel=1e-4)


def test_a_writer_learns_its_answers() -> None:
    head, output = writer(), torch.eye(8)[None, :3]
    scored = batch(torch.eye(3).unsqueeze(0))
    optimiser = torch.optim.Adam(head.parameters(), 0.05)
    head.train()
    for _ in range(60):
        optimiser.zero_grad()
        head.losses(output, scored)["cross_entropy"].backward()
        optimiser.step()
    assert head.accuracy(output, scored) == 100
    assert head.training
    (found,) = head.eval().answers(output, [[Question("a"), Question("b"), Question("c")]])
    assert [ranked.best[0][0] for ranked in found] == ["red dog", "cat", "a red cat"]
    assert all(ranked.best[0][1] > 0.8 for ranked in found)


# Means of batches


def rows(made: VQABatch) -> list[VQABatch]:
    """Each picture by itself."""
    return [
        replace(
            made,
            tokens=made.tokens[[n]],
            keep=made.keep[[n]],
            targets=made.targets[[n]],
            votes=made.votes[[n]],
            choices=made.choices
            and Choices(
                Texts(made.choices.texts.tokens[[n]], made.choices.texts.keep[[n]]),
                made.choices.keep[[n]],
                made.choices.scores[[n]],
            ),
        )
        for n in range(len(made.tokens))
    ]


@pytest.mark.parametrize(
    "head",
    [
        lambda: ClassHead(ANSWERS[:3], LabelCrossEntropy()),
        lambda: ClassHead(ANSWERS[:3], SoftCrossEntropy()),
        lambda: ClassHead(ANSWERS[:3], BinaryCrossEntropy()),
        lambda: ChoiceHead(WORDS, LabelCrossEntropy(), dim=3),
        lambda: ChoiceHead(WORDS, BinaryCrossEntropy(), dim=3),
        lambda: GeneratedAnswer(["red dog", "cat", "a red cat"], dim=3),
    ],
)
def test_the_means_of_batches_by_what_they_count_make_the_mean_of_all(head: Callable[[], AnswerHead]) -> None:
    torch.manual_seed(0)
    made, output = head().eval(), torch.randn(2, 3, 3)
    nothing, not_asked = [0.0, 0.0, 0.0], [0.0, 0.0, -1.0]
    targets = torch.tensor([[[1.0, 0.3, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]], [[0.3, 0, 0], nothing, not_asked]])
    offered = Encoding(WORDS).texts([[["dog", "cat"]] * 3, [["red", "cat"], [], ["a"]]])
    keep = torch.tensor([[[True, True]] * 3, [[True, True], [False, False], [False, False]]])
    scores = torch.tensor([[[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [0.0, 0.0], [0.0, 0.0]]])
    whole = batch(targets, targets.clamp(min=0), Choices(offered, keep, scores))
    expected, alone = made.counted(whole), rows(whole)
    (together,) = made.losses(output, whole).values()
    counted = [made.counted(each) for each in alone]
    losses = [next(iter(made.losses(output[[n]], each).values())) for n, each in enumerate(alone)]
    accuracies = [made.accuracy(output[[n]], each) for n, each in enumerate(alone)]
    total = sum(loss * each.losses for loss, each in zip(losses, counted, strict=True))
    torch.testing.assert_close(total / expected.losses, together)
    total = sum(found * each.accuracy for found, each in zip(accuracies, counted, strict=True))
    torch.testing.assert_close(total / expected.accuracy, made.accuracy(output, whole))
    assert sum(each.losses for each in counted) == expected.losses
    assert counted[0] != counted[1]


# In a model


CHOICES: Any = {
    "class_path": "vqa.heads.ChoiceHead",
    "init_args": {"dim": 8, "objective": {"class_path": "vqa.objectives.LabelCrossEntropy"}},
}
WRITTEN: Any = {"class_path": "vqa.heads.GeneratedAnswer", "init_args": {"dim": 8}}


@pytest.mark.parametrize("objective", [CHOICES, WRITTEN], ids=["choices", "written"])
def test_a_model_with_another_head_learns_and_answers(scenes: str, objective: Any) -> None:
    made, source = recipes.attached(scenes, objective=objective)
    source._records["val"] = [replace(record, choices=("red", "2", "yes", "no")) for record in source.records("val")]
    asked = next(iter(source.val_dataloader()))
    losses = recipes.overfit(made, asked, 10)
    assert losses[-1] < losses[0]
    found = made.answer(asked.visual, [[Question.of(record) for record in records] for records in asked.records])
    for prediction in (each for row in found for each in row):
        assert 0 < prediction.score <= 1
        assert "image" in prediction.maps
        assert objective is WRITTEN or prediction.text in ("red", "2", "yes", "no")


def test_what_is_neither_an_objective_nor_a_head_is_refused(scenes: str) -> None:
    with pytest.raises(ConfigError, match="must name a kind of AnswerObjective, but it is none"):
        recipes.attached(scenes, objective={"class_path": "common.attention.Softmax"})
