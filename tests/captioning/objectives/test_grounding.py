from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from captioning.decoders import TeacherForced
from captioning.objectives import Captions, SupervisedAttention
from captioning.objectives.grounding import share_inside
from common.data.records import CaptionRecord, NamedBox
from common.data.vocabulary import END, SPECIALS, Vocabulary
from common.errors import DataError
from tests.captioning import recipes
from tests.captioning.objectives.cases import given_to

WORDS = Vocabulary([*SPECIALS, "a", "red", "cube", "ball", "by"])
CUBE = NamedBox((0.0, 0.0, 0.375, 1.0), "cube", ("red",))  # one cell of four and half of the next
OTHER_CUBE = NamedBox((0.75, 0.0, 1.0, 1.0), "cube", ("blue",))
BALL = NamedBox((0.5, 0.0, 0.75, 1.0), "ball")
RECORD = CaptionRecord(Path("scene.png"), 7, ("a red cube by a ball",), (CUBE, OTHER_CUBE, BALL))


def batch(
    text: str, weights: Tensor, record: CaptionRecord = RECORD, regions: Tensor | None = None
) -> tuple[Captions, Tensor]:
    """A caption of which each word looks at four cells in a row with the same weights [4]; the weights may learn."""
    targets = torch.tensor([[[*WORDS.encode(text.split()), END]]])
    keep = torch.ones_like(targets, dtype=torch.bool)
    looks = weights.expand(*targets.shape, 4).clone().requires_grad_()
    output = TeacherForced(torch.zeros(targets.numel(), len(WORDS)), looks)
    regions = torch.ones(1, 4, dtype=torch.bool) if regions is None else regions
    return given_to(output, targets, keep, regions, (record,)), looks


def supervised(**settings: Any) -> SupervisedAttention:
    objective = SupervisedAttention(WORDS, **settings)
    objective.prepare([RECORD])
    return objective


def test_the_attention_at_object_words_is_wanted_in_their_boxes_and_nowhere_else() -> None:
    captions, looks = batch("a red cube by a ball", torch.tensor([0.4, 0.3, 0.2, 0.1]))
    objective = supervised(weight=2.0)
    terms = objective(captions)
    cube, ball = 0.4 + 0.3 / 2, 0.2  # the red cube's cells, and the ball's
    expected = -2.0 * (math.log(cube) + math.log(ball)) / 2
    assert {name: term.item() for name, term in terms.items()} == {
        "attention_supervision": pytest.approx(expected, rel=1e-4)
    }
    assert objective.readings() == {"attention_in_box": pytest.approx((cube + ball) / 2)}
    terms["attention_supervision"].backward()
    assert looks.grad is not None
    assert looks.grad[0, 0].abs().sum(-1).nonzero().flatten().tolist() == [2, 5]


def test_the_divergence_is_from_a_map_that_fills_the_box_evenly() -> None:
    target = torch.tensor([2 / 3, 1 / 3, 0.0, 0.0])
    even, _ = batch("a red cube", target)
    assert supervised(loss="divergence")(even)["attention_supervision"].item() == pytest.approx(0, abs=1e-5)
    uneven, _ = batch("a red cube", torch.tensor([0.25, 0.25, 0.25, 0.25]))
    expected = sum(p * math.log(p / 0.25) for p in target[:2].tolist())
    found = supervised(loss="divergence")(uneven)["attention_supervision"].item()
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_word_that_may_mean_several_boxes_may_look_at_any() -> None:
    captions, _ = batch("a cube", torch.tensor([0.1, 0.0, 0.4, 0.5]))
    assert supervised()(captions)["attention_supervision"].item() == pytest.approx(-math.log(0.6), rel=1e-4)


@pytest.mark.parametrize(
    ("text", "record"),
    [
        ("a by a", RECORD),
        ("a red ball", CaptionRecord(Path("scene.png"), 8, (), (CUBE,))),
        ("a cube", CaptionRecord(Path("scene.png"), 9)),
        ("a cube", CaptionRecord(Path("scene.png"), 10, (), (NamedBox((1.2, 0.0, 1.5, 1.0), "cube"),))),
    ],
    ids=["no object word", "misnamed", "no boxes", "out of sight"],
)
def test_what_has_no_right_place_costs_nothing(text: str, record: CaptionRecord) -> None:
    captions, _ = batch(text, torch.full((4,), 0.25), record)
    objective = supervised()
    assert objective(captions)["attention_supervision"] == 0
    assert objective.readings() == {}


def test_regions_that_are_not_valid_are_no_place_to_look_at() -> None:
    regions = torch.tensor([[True, False, True, True]])
    captions, _ = batch("a red cube", torch.tensor([0.6, 0.0, 0.2, 0.2]), regions=regions)
    assert supervised()(captions)["attention_supervision"].item() == pytest.approx(-math.log(0.6), rel=1e-4)


def test_attention_that_is_nowhere_near_still_learns() -> None:
    captions, looks = batch("a ball", torch.tensor([1.0, 0.0, 0.0, 0.0]))
    loss = supervised()(captions)["attention_supervision"]
    loss.backward()
    assert loss.isfinite()
    assert looks.grad is not None
    assert looks.grad[0, 0, 1, 2] < 0


def test_shares_are_of_the_region_and_of_the_box_with_most_of_it() -> None:
    rectangles = torch.tensor([[[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]]])
    boxes = torch.tensor([[[0.0, 0.0, 0.25, 0.5], [0.25, 0.25, 1.0, 1.0]]])
    assert share_inside(rectangles, boxes).tolist() == [[0.5, 1.0, 0.0]]


def test_data_without_boxes_are_refused_in_one_line() -> None:
    with pytest.raises(DataError, match=r"^SupervisedAttention needs boxes [^\n]* none of 1 training pictures"):
        SupervisedAttention(WORDS).prepare([CaptionRecord(Path("scene.png"), 1, ("a cube",))])


@pytest.mark.parametrize("encoder", [recipes.GRID, recipes.BOXES], ids=["grid", "boxes"])
def test_a_captioner_of_scenes_learns_to_look_into_the_boxes(scenes: str, encoder: Any) -> None:
    objective = {"class_path": "captioning.objectives.SupervisedAttention"}
    made, source = recipes.attached(scenes, encoder=encoder, objectives=(recipes.CROSS_ENTROPY, objective))
    supervision = made.objectives[1]
    batch = next(iter(source.val_dataloader()))
    made(batch)
    before = supervision.readings()["attention_in_box"]  # type: ignore[operator]
    recipes.overfit(made, batch, steps=15)
    made(batch)
    assert supervision.readings()["attention_in_box"] > before + 0.05  # type: ignore[operator]
