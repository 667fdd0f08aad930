"""Kernel ridge regression against its equations, question by question."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import vqa.models.kernel
from common.attention import VisualFeatures
from common.errors import ConfigError, DataError
from tests.vqa.models.cases import ANSWERS, REGION_DIM, WORDS, pictures, questions
from vqa.models import KernelRidge, Lesson

SETTINGS = {"pair_weight": 0.5, "picture_weight": 3.0, "ridge": 0.7}
LENGTHS = [[[4, 2], [1, 3]], [[3, 0], [5, 2]]]  # of two batches; 0 is room for a question


def lessons() -> list[Lesson]:
    torch.manual_seed(0)
    made = []
    for lengths in LENGTHS:
        tokens, keep = questions(lengths)
        scores = torch.nn.functional.one_hot(torch.randint(ANSWERS, keep.shape[:2]), ANSWERS).double()
        made.append(Lesson(pictures(), tokens, keep, scores * keep.any(-1, keepdim=True)))
    made[1].scores[1, 1] = 0  # no known answer is right
    return made


def model(**settings: float) -> KernelRidge:
    return KernelRidge(ANSWERS, WORDS, reach=2, **(SETTINGS | settings)).double()  # type: ignore[arg-type]


def grams(words: list[int]) -> set[tuple[int, ...]]:
    near = {(a, words[j]) for i, a in enumerate(words) for j in (i + 1, i + 2) if j < len(words)}
    return {(word,) for word in words} | near


def flat(tokens: Tensor, keep: Tensor) -> list[list[list[int]]]:
    return [
        [ids[valid].tolist() for ids, valid in zip(row, valids, strict=True)]
        for row, valids in zip(tokens, keep, strict=True)
    ]


def pool(features: VisualFeatures) -> list[NDArray[np.float64]]:
    kept = [values[valid].numpy() for values, valid in zip(features.values, features.keep, strict=True)]
    return [np.concatenate([each.mean(0), each.max(0)]) for each in kept]


def test_it_scores_as_its_equations_say() -> None:
    known = lessons()
    asked, owners, targets, seen = [], [], [], []
    for lesson in known:
        for row, texts in enumerate(flat(lesson.tokens, lesson.keep)):
            for column, words in enumerate(texts):
                if lesson.scores[row, column].any():
                    asked.append(grams(words))
                    owners.append(len(seen) + row)
                    targets.append(lesson.scores[row, column].numpy())
        seen += pool(lesson.features)
    assert len(asked) == 6
    rarity = {
        gram: (1 if len(gram) == 1 else 0.5) * np.log(6 / sum(gram in each for each in asked)) ** 0.25
        for gram in set().union(*asked)
    }
    mean, deviation = np.mean(seen, 0), np.std(seen, 0) + 1e-4

    def looks(picture: NDArray[np.float64]) -> NDArray[np.float64]:
        standard = (picture - mean) / deviation
        first, second = standard[:REGION_DIM], standard[REGION_DIM:]
        return np.concatenate([first / np.linalg.norm(first), second / np.linalg.norm(second)]) / np.sqrt(2)

    def phrases(own: set[tuple[int, ...]]) -> dict[tuple[int, ...], float]:
        weights = {gram: rarity[gram] for gram in own if gram in rarity}
        length = np.sqrt(sum(weight**2 for weight in weights.values()))
        return {gram: weight / max(length, 1e-4) for gram, weight in weights.items()}

    def kernel(own: set[tuple[int, ...]], picture: NDArray[np.float64], index: int) -> float:
        p, other = phrases(own), phrases(asked[index])
        product = sum(share * other.get(gram, 0.0) for gram, share in p.items())
        return float(product**2 * (1 + 3.0 * looks(picture) @ looks(seen[owners[index]])))

    gram_matrix = np.array([[kernel(asked[i], seen[owners[i]], j) for j in range(6)] for i in range(6)])
    dual = np.linalg.solve(gram_matrix + 0.7 * np.eye(6), np.array(targets))
    made = model()
    made.memorise(known)
    torch.manual_seed(1)
    features = pictures()
    tokens, keep = questions([[3, 5], [2, 4]])
    found = made(features, tokens, keep).logits
    for row, texts in enumerate(flat(tokens, keep)):
        for column, words in enumerate(texts):
            scores = np.array([kernel(grams(words), pool(features)[row], index) for index in range(6)]) @ dual
            expected = np.log(np.maximum(scores, 1e-4))
            np.testing.assert_allclose(found[row, column].detach().numpy(), expected, rtol=1e-5, atol=1e-5)


def test_with_a_small_ridge_it_knows_the_training_answers_by_heart() -> None:
    known = lessons()
    made = model(ridge=1e-9)
    made.memorise(known)
    for lesson in known:
        there = lesson.scores.any(-1)
        found = made(lesson.features, lesson.tokens, lesson.keep).logits.exp()[there]
        torch.testing.assert_close(found, lesson.scores[there].clamp(min=1e-4), atol=1e-4, rtol=0)


def test_rows_of_the_kernel_in_parts_are_the_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    together, parted = model(), model()
    together.memorise(lessons())
    monkeypatch.setattr(vqa.models.kernel, "ROWS", 4)
    parted.memorise(lessons())
    torch.testing.assert_close(parted.dual, together.dual)


def test_its_state_holds_the_memory_and_an_empty_one_answers_all_the_same() -> None:
    made, other = model(), model()
    tokens, keep = questions([[3, 2], [1, 4]])
    features = pictures()
    assert not made(features, tokens, keep).logits.any()
    other.load_state_dict(made.state_dict())
    assert not other(features, tokens, keep).logits.any()
    made.memorise(lessons())
    other.load_state_dict(made.state_dict())
    expected = made(features, tokens, keep).logits
    torch.testing.assert_close(other(features, tokens, keep).logits, expected)
    assert expected.requires_grad


def test_unknown_phrases_pictures_without_regions_and_room_give_finite_logits() -> None:
    made = model()
    made.memorise(lessons())
    features = pictures()
    features.keep[1] = False
    tokens, keep = questions([[2, 0], [1, 2]])
    tokens[0] = 0  # a word that no training question had
    logits = made(features, tokens, keep).logits
    assert logits.isfinite().all()
    torch.testing.assert_close(logits[0, 0], torch.full_like(logits[0, 0], 1e-4).log())


def test_no_question_with_a_known_answer_is_refused() -> None:
    unknown = [lesson._replace(scores=torch.zeros_like(lesson.scores)) for lesson in lessons()]
    with pytest.raises(DataError, match="no training question with a known answer"):
        model().memorise(unknown)


def test_more_questions_than_there_is_room_for_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vqa.models.kernel, "MOST", 5)
    with pytest.raises(DataError, match="room for 5 training questions, not for more"):
        model().memorise(lessons())


@pytest.mark.parametrize("setting", [{"ridge": 0.0}, {"picture_weight": -1.0}, {"pair_weight": -0.5}])
def test_settings_without_a_solution_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(
        ConfigError, match=r"^ridge must be above 0, and reach, pair_weight and picture_weight not below"
    ):
        model(**setting)
