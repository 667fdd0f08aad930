from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from captioning.evaluation import caption_all, grounding, pair_agreement, score
from captioning.scoring import Scoring
from common.attention import AttentionMap, Boxes
from common.data.records import CaptionRecord, NamedBox, Prediction
from tests.captioning import recipes

FAST = Scoring(meteor=False)
LEFT = NamedBox((0.0, 0.0, 0.4, 1.0), "circle", ("red", "small"))
RIGHT = NamedBox((0.6, 0.0, 1.0, 1.0), "square", ("blue", "large"))


@pytest.fixture
def record(tmp_path: Path) -> CaptionRecord:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    return CaptionRecord(tmp_path / "a.png", 7, ("a red circle and a blue square",), (LEFT, RIGHT))


def said(text: str, looks: list[int]) -> Prediction:
    """A caption whose each word looked at the box of this number."""
    layout = Boxes(torch.tensor([LEFT.corners, RIGHT.corners]))
    words = tuple(text.split())
    weights = torch.nn.functional.one_hot(torch.tensor(looks), 2).float()
    return Prediction(text, -1.0, maps={"caption": AttentionMap(weights, ("word", "region"), layout, "soft", words)})


def test_pairs_of_colour_and_shape_must_be_those_of_one_object(record: CaptionRecord) -> None:
    right, crossed = said("a red circle", [0, 0, 0]), said("a red square and a blue square", [0] * 7)
    assert pair_agreement([record], {7: right}) == {"named pairs in the picture": 100.0}
    assert pair_agreement([record], {7: crossed}) == {"named pairs in the picture": 50.0}
    assert pair_agreement([record], {7: said("nothing here", [0, 0])}) == {"named pairs in the picture": 0.0}


def test_object_words_that_look_at_their_objects_are_hits(record: CaptionRecord) -> None:
    caption = "a red circle and a blue square"
    found = {
        looks: grounding([record], {7: said(caption, [0, 0, first, 0, 0, 0, second])})["pointing"]
        for looks in [(0, 1), (0, 0), (1, 0)]
        for first, second in [looks]
    }
    assert found == {(0, 1): 100.0, (0, 0): 50.0, (1, 0): 0.0}


def test_a_word_that_misnames_what_is_there_has_no_right_place_to_look(record: CaptionRecord) -> None:
    other = CaptionRecord(record.image, 8, ("a green star",), (NamedBox((0.0, 0.0, 1.0, 1.0), "star", ("green",)),))
    said_of = {7: said("a green circle", [0, 0, 0]), 8: said("a green star", [0, 0, 0])}
    assert grounding([record, other], said_of)["maps with a known target"] == 1
    assert (
        grounding([record], {7: said("a blue circle", [0, 0, 0])}) == {}
    )  # no word has a right place: that is not a score of 0


def test_records_of_types_are_scored_type_by_type_as_well(record: CaptionRecord) -> None:
    records = [
        replace(record, image_id=number, boxes=(), types=types, captions=(caption,))
        for number, types, caption in [
            (1, ("in-domain",), "a dog runs over the grass"),
            (2, ("out-domain",), "a red tram stands in the street"),
            (3, (), "two men on a bench in a park"),
        ]
    ]
    said_of = {1: said("a dog runs over the grass", [0] * 6), 2: said("a cat", [0] * 2), 3: said("a bench", [0] * 2)}
    scores = score(records, said_of, FAST)
    for number, group in ((0, "in-domain"), (1, "out-domain")):
        alone = score([replace(records[number], types=())], said_of, FAST)
        assert {name: scores[f"{name}/{group}"] for name in alone} == alone
    assert scores["BLEU-4/in-domain"] == pytest.approx(100)
    assert scores["BLEU-1"] == score([replace(each, types=()) for each in records], said_of, FAST)["BLEU-1"]


def test_a_perfect_caption_has_perfect_scores(record: CaptionRecord) -> None:
    scores = score([record], {7: said(record.captions[0], [0, 0, 0, 0, 0, 0, 1])}, FAST)
    assert scores["BLEU-4"] == pytest.approx(100)
    assert scores["named pairs in the picture"] == scores["pointing"] == 100


def test_without_boxes_only_the_words_are_scored(record: CaptionRecord) -> None:
    bare = CaptionRecord(record.image, 7, record.captions)
    scores = score([bare], {7: said("a red circle", [0, 0, 0])}, FAST)
    bleu = {f"BLEU-{order}{of}" for order in range(1, 5) for of in ("", " (no BP)")}
    assert set(scores) == bleu | {"length ratio", "ROUGE-L", "CIDEr-D"}


def test_every_picture_of_a_loader_is_captioned_and_scored(scenes: str) -> None:
    made, source = recipes.attached(scenes)
    recipes.overfit(made, next(iter(source.test_dataloader())))
    made.train()
    predictions = caption_all(made, source.test_dataloader())
    assert not made.training
    assert set(predictions) == {record.image_id for record in source.records("test")}
    scores = score(source.records("test"), predictions, FAST)
    assert {"BLEU-4", "CIDEr-D", "named pairs in the picture", "pointing"} <= set(scores)
    assert all(0 <= scores[name] <= 100 for name in ("BLEU-1", "ROUGE-L", "pointing"))
    again = caption_all(made, source.test_dataloader())
    assert {key: each.text for key, each in again.items()} == {key: each.text for key, each in predictions.items()}
