from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image

from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.data.loading import ImageLoader
from common.data.readers import VQASource
from common.data.records import VQARecord
from common.data.vocabulary import UNKNOWN, Vocabulary
from common.encoders import ImageEncoder
from common.errors import ConfigError, DataError
from vqa.answers import AnswerVocabulary
from vqa.data import AnswerClasses, VQACollate, VQAData

WORDS = Vocabulary.build([["is", "it", "red"]])
IS, IT, RED = (WORDS.encode([word])[0] for word in ("is", "it", "red"))
ANSWERS = AnswerVocabulary(("yes", "no"))


@dataclass(frozen=True)
class Given(VQASource):
    records: tuple[VQARecord, ...]

    def read(self) -> list[VQARecord]:
        return list(self.records)


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    return [tmp_path / "a.png", tmp_path / "b.png"]


def record(path: Path, number: int, question: str, *answers: str) -> VQARecord:
    return VQARecord(path, path.name, question, number, answers)


def collate(questions: int | None = None) -> VQACollate:
    return VQACollate(ImageLoader(Preprocessing((8, 8))), WORDS, ANSWERS, questions)


def test_a_batch_has_each_picture_once_with_all_of_its_questions(pictures: list[Path]) -> None:
    first = (
        record(pictures[0], 1, "Is it red?", *["yes"] * 10),
        record(pictures[0], 2, "is it", *["yes"] * 2, *["no"] * 8),
    )
    second = (record(pictures[1], 3, "is it green", *["green"] * 10),)
    batch = collate()([first, second])
    assert isinstance(batch.visual, ImageBatch)
    assert len(batch.visual.pixels) == 2
    assert batch.tokens.tolist() == [[[IS, IT, RED], [IS, IT, 0]], [[IS, IT, UNKNOWN], [0, 0, 0]]]
    assert torch.equal(batch.keep, batch.tokens != 0)
    assert batch.asked.tolist() == [[True, True], [True, False]]
    torch.testing.assert_close(batch.targets, torch.tensor([[[1, 0], [0.6, 1]], [[0, 0], [0, 0]]]))
    torch.testing.assert_close(batch.votes, torch.tensor([[[1, 0], [0.2, 0.8]], [[0, 0], [0, 0]]]))
    assert batch.records == (first, second)


def test_questions_are_drawn_by_torchs_generator_with_their_targets(pictures: list[Path]) -> None:
    asked = [record(pictures[0], n, word, *["yes" if n else "no"] * 10) for n, word in enumerate(("is", "it", "red"))]
    one = collate(1)
    torch.manual_seed(3)
    first = [one([asked]) for _ in range(30)]
    torch.manual_seed(3)
    assert [one([asked]).records for _ in range(30)] == [batch.records for batch in first]
    assert {batch.tokens.item() for batch in first} == {IS, IT, RED}
    for batch in first:
        ((drawn,),) = batch.records
        assert batch.tokens.item() == WORDS.encode([drawn.question])[0]
        assert batch.targets[0, 0].tolist() == ([1, 0] if drawn.question_id else [0, 1])


def test_items_are_pictures_with_their_questions_in_the_order_of_the_records(pictures: list[Path]) -> None:
    records = tuple(record(pictures[n % 2], n, "is it", "yes") for n in range(5))
    items = VQAData(Given(records)).items("train")
    assert [[each.question_id for each in picture] for picture in items] == [[0, 2, 4], [1, 3]]


def test_words_and_answers_are_those_of_the_training_questions_alone(pictures: list[Path]) -> None:
    train = Given(
        (
            record(pictures[0], 1, "is it red", *["Yes"] * 10),
            record(pictures[0], 2, "is it", *["yes"] * 10),
            record(pictures[1], 3, "is it", *["two"] * 10),
        )
    )
    val = Given((record(pictures[1], 4, "where", *["there"] * 10),))
    assert VQAData(train, val).vocabulary[4:] == ["is", "it", "red"]
    assert VQAData(train, val, minimum_count=2).vocabulary[4:] == ["is", "it"]
    assert VQAData(train, val).answers == ["yes", "2"]
    assert VQAData(train, val, classes=AnswerClasses(normalise=False)).answers == ["Yes", "two", "yes"]
    assert VQAData(train, val, classes=AnswerClasses(most=1)).answers == ["yes"]
    assert VQAData(train, val, classes=AnswerClasses(minimum_count=2)).answers == ["yes"]


def test_a_question_without_words_and_one_to_learn_from_without_an_answer_are_named(pictures: list[Path]) -> None:
    wordless = Given((record(pictures[0], 1, "is it", "yes"), record(pictures[0], 2, "?", "yes")))
    unanswered = Given((record(pictures[0], 1, "is it", "yes"), record(pictures[0], 2, "is it red")))
    for split in ("train", "val", "test"):
        with pytest.raises(DataError, match=rf"^question 2 of the {split} split, '\?', about \S*a\.png has no words"):
            VQAData(**{split: wordless}).records(split)  # type: ignore[arg-type]
    for split in ("train", "val"):
        with pytest.raises(DataError, match=rf"^question 2 of the {split} split, 'is it red', about \S* has no answer"):
            VQAData(**{split: unanswered}).records(split)  # type: ignore[arg-type]
    assert len(VQAData(test=unanswered).records("test")) == 2


def test_targets_number_the_answers_as_the_model_does_and_only_training_draws(pictures: list[Path]) -> None:
    given = Given(tuple(record(pictures[0], n, "is it", *["no"] * 10) for n in range(3)))
    source = VQAData(given, given, given, questions_per_image=2)
    source.attach(ImageEncoder("test_resnet", image_size=(32, 32)), source.vocabulary, ["maybe", "no"])
    batches = {split: next(iter(source.loader(split))) for split in ("train", "val", "test")}
    assert {split: batch.targets.shape[1] for split, batch in batches.items()} == {"train": 2, "val": 3, "test": 3}
    assert batches["val"].targets.tolist() == [[[0, 1]] * 3]


def test_loading_before_the_encoder_is_known_says_what_to_call(pictures: list[Path]) -> None:
    source = VQAData(Given((record(pictures[0], 1, "is it", "yes"),)))
    with pytest.raises(ConfigError, match="call attach"):
        source.train_dataloader()


def test_facts_and_choices_come_with_their_questions(pictures: list[Path]) -> None:
    asked = [
        VQARecord(pictures[0], 1, "is it", 1, ("yes",), facts=("it is red", "red")),
        VQARecord(pictures[0], 1, "it", 2, ("Two", "2", "three"), choices=("two", "green", "3")),
    ]
    other = [record(pictures[1], 3, "red", "no")]
    batch = collate()([asked, other])
    assert batch.facts is not None
    assert batch.facts.tokens.tolist() == [[[[IT, IS, RED], [RED, 0, 0]], [[0] * 3] * 2], [[[0] * 3] * 2] * 2]
    assert torch.equal(batch.facts.keep, batch.facts.tokens != 0)
    assert batch.choices is not None
    assert batch.choices.keep.tolist() == [[[False] * 3, [True] * 3], [[False] * 3] * 2]
    torch.testing.assert_close(batch.choices.scores[0, 1], torch.tensor([2 / 3, 0, 1 / 3]))
    assert not batch.choices.scores[1].any()
    assert batch.choices.texts.tokens.shape == (2, 2, 3, 1)


def test_without_any_facts_there_is_one_without_words_and_without_choices_none(pictures: list[Path]) -> None:
    batch = collate()([[record(pictures[0], 1, "is it", "yes")]])
    assert batch.facts is not None
    assert (batch.facts.tokens.shape, batch.facts.keep.any().item()) == ((1, 1, 1, 1), False)
    assert batch.choices is None


def test_the_words_of_facts_and_choices_are_learned_too(pictures: list[Path]) -> None:
    one = VQARecord(pictures[0], 1, "is it", 1, ("yes",), facts=("cats sleep",), choices=("a dog",))
    assert VQAData(Given((one,))).vocabulary[4:] == ["a", "cats", "dog", "is", "it", "sleep"]


def test_training_questions_without_a_known_answer_are_counted_and_told_once(
    pictures: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    said = [["yes"] * 10, ["Yes"] * 10, ["maybe"] * 10, [""] * 10]
    given = Given(tuple(record(pictures[0], number, "is it", *answers) for number, answers in enumerate(said)))
    source = VQAData(given, given, classes=AnswerClasses(minimum_count=2))
    source.attach(ImageEncoder("test_resnet", image_size=(32, 32)), source.vocabulary, source.answers)
    for split in ("val", "train"):
        source.loader(split)
    (told,) = caplog.messages
    assert told.startswith("2 of 4 training questions (50.0 %) have no answer among the 1 known ones and teach nothing")
    caplog.clear()
    source.attach(ImageEncoder("test_resnet", image_size=(32, 32)), source.vocabulary, ["yes", "maybe", ""])
    source.train_dataloader()
    assert caplog.messages == []
