from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image

from captioning.data import CaptionBatch, CaptionCollate, CaptioningData
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.data.loading import ImageLoader
from common.data.module import Loading
from common.data.readers import CaptionSource
from common.data.records import CaptionRecord
from common.data.vocabulary import END, START, UNKNOWN, Vocabulary
from common.encoders import ImageEncoder
from common.errors import DataError
from tests.captioning import recipes

WORDS = Vocabulary.build([["a", "cat", "dog"]])
A, CAT, DOG = (WORDS.encode([word])[0] for word in ("a", "cat", "dog"))


@dataclass(frozen=True)
class Given(CaptionSource):
    records: tuple[CaptionRecord, ...]

    def read(self) -> list[CaptionRecord]:
        return list(self.records)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def collate(captions: int | None = None, longest: int = 40) -> CaptionCollate:
    return CaptionCollate(ImageLoader(Preprocessing((8, 8))), WORDS, captions, longest)


def test_captions_run_from_start_to_end_and_are_filled_up(picture: Path) -> None:
    records = CaptionRecord(picture, 1, ("A cat.", "a bird, a dog")), CaptionRecord(picture, 2, ("dog",))
    batch = collate()(records)
    assert batch.tokens.tolist() == [
        [[START, A, CAT, END, 0, 0], [START, A, UNKNOWN, A, DOG, END]],
        [[START, DOG, END, 0, 0, 0], [0] * 6],
    ]
    assert torch.equal(batch.keep, batch.tokens != 0)
    assert isinstance(batch.visual, ImageBatch)
    assert len(batch.visual.pixels) == 2
    assert batch.records == records


def test_only_captions_that_are_not_cut_end(picture: Path) -> None:
    batch = collate(longest=2)([CaptionRecord(picture, 1, ("a cat", "a cat a dog a cat"))])
    assert batch.tokens.tolist() == [[[START, A, CAT, END], [START, A, CAT, A]]]


def drawn(batch: CaptionBatch) -> list[int]:
    return batch.tokens[0, :, 1].tolist()


def test_captions_are_drawn_by_torchs_generator_without_repeats(picture: Path) -> None:
    record = CaptionRecord(picture, 1, ("a", "cat", "dog"))
    two = collate(2)
    torch.manual_seed(3)
    first = [drawn(two([record])) for _ in range(20)]
    torch.manual_seed(3)
    assert [drawn(two([record])) for _ in range(20)] == first
    assert {frozenset(each) for each in first} == {frozenset({A, CAT}), frozenset({A, DOG}), frozenset({CAT, DOG})}
    assert drawn(collate(5)([record])) == drawn(collate(None)([record])) == [A, CAT, DOG]


def test_only_training_draws(picture: Path) -> None:
    given = Given((CaptionRecord(picture, 1, ("a", "cat", "dog")),))
    source = CaptioningData(given, given, given, captions_per_image=2, minimum_count=1)
    source.attach(ImageEncoder("test_resnet", image_size=(32, 32)), source.vocabulary)
    sizes = [next(iter(source.loader(split))).tokens.shape[1] for split in ("train", "val", "test")]
    assert sizes == [2, 3, 3]


def test_the_vocabulary_is_of_the_training_captions_alone(picture: Path) -> None:
    train = Given((CaptionRecord(picture, 1, ("a cat", "a dog")),))
    val = Given((CaptionRecord(picture, 1, ("the bird", "a bird")),))
    assert CaptioningData(train, val, minimum_count=1).vocabulary[4:] == ["a", "cat", "dog"]
    assert CaptioningData(train, val, minimum_count=2).vocabulary[4:] == ["a"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_picture_to_learn_from_that_has_no_caption_is_named(picture: Path, split: str) -> None:
    bare = picture.with_name("bare.png")
    given = Given((CaptionRecord(picture, 1, ("a cat",)), CaptionRecord(bare, 2)))
    source = CaptioningData(**{split: given}, minimum_count=1)  # type: ignore[arg-type]
    message = rf"^\S*bare\.png: no caption, as 1 of 2 pictures of the {split} split: [^\n]*leave it out$"
    with pytest.raises(DataError, match=message):
        source.records(split)


def test_pictures_without_captions_can_be_captioned(picture: Path, scenes: str) -> None:
    words = recipes.data(scenes).vocabulary
    made = recipes.module(words).eval()
    source = CaptioningData(test=Given((CaptionRecord(picture, 1), CaptionRecord(picture, 2))), loading=Loading(2))
    made.attach(source)
    batch = next(iter(source.test_dataloader()))
    assert batch.tokens.shape == (2, 0, 0)
    assert len(made.caption(batch.visual)) == 2
