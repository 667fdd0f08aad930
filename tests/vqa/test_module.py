from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from common.attention import Boxes, Grid, Words
from common.data.batches import ImageBatch
from common.data.records import Prediction
from common.data.vocabulary import UNKNOWN
from common.errors import ConfigError, DataError
from common.training.checkpoints import load_module
from common.training.parts import Part
from common.training.task import SHOWN
from tests.vqa import recipes
from tests.vqa.recipes import ALTERNATING, BILINEAR, BLIND, BOXES, GUIDED, ONE_LEVEL, TRANSFORMER
from vqa.data import VQABatch
from vqa.heads import ClassHead
from vqa.models import KernelRidge
from vqa.module import VQAModule
from vqa.objectives import LabelCrossEntropy

RECIPES: dict[str, dict[str, Any]] = {
    "parallel": {},
    "alternating": {"co_attention": ALTERNATING},
    "bilinear": {"co_attention": BILINEAR},
    "guided, one level": {"co_attention": GUIDED, "model": ONE_LEVEL},
    "transformer": {"text": TRANSFORMER},
    "boxes": {"encoder": BOXES},
    "question only": {"model": BLIND},
}


def questions(batch: VQABatch) -> list[list[str]]:
    return [[record.question for record in records] for records in batch.records]


def assert_same(found: list[list[Prediction]], expected: list[list[Prediction]]) -> None:
    for one, other in zip(chain(*found), chain(*expected), strict=True):
        assert one.text == other.text
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert one.maps.keys() == other.maps.keys()
        for name in one.maps:
            torch.testing.assert_close(one.maps[name].weights, other.maps[name].weights)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_model_learns_a_batch_and_answers_with_maps_that_sum_to_one(scenes: str, recipe: str) -> None:
    made, source = recipes.attached(scenes, **RECIPES[recipe])
    batch = next(iter(source.val_dataloader()))
    losses = recipes.overfit(made, batch)
    assert losses[-1] < 0.8 * losses[0]
    answered = made.answer(batch.visual, questions(batch))
    assert [len(found) for found in answered] == [len(asked) for asked in batch.records]
    for row, (found, asked) in enumerate(zip(answered, batch.records, strict=True)):
        for prediction, record in zip(found, asked, strict=True):
            assert prediction.text in source.answers
            scores = [prediction.score, *(other.score for other in prediction.alternatives)]
            assert scores == sorted(scores, reverse=True)
            assert len({prediction.text, *(other.text for other in prediction.alternatives)}) == len(scores) == 5
            assert 0 < scores[-1] < sum(scores) <= 1 + 1e-5
            if recipe == "question only":
                assert prediction.maps == {}
                continue
            image, question = prediction.maps["image"], prediction.maps["question"]
            for each in (image, question):
                torch.testing.assert_close(each.weights.sum(-1), torch.ones(len(made.model.level_names)))
                assert each.query_labels == made.model.level_names
                assert each.kind == made.model.kind
            assert question.key_layout == Words(tuple(record.question.lower().rstrip("?").split()))
            if recipe == "boxes":
                assert isinstance(image.key_layout, Boxes)
                assert torch.equal(image.key_layout.corners, batch.visual.boxes[row])
            else:
                assert isinstance(image.key_layout, Grid)


@pytest.mark.parametrize("recipe", RECIPES)
def test_answers_are_the_same_each_time_and_for_each_question_alone(scenes: str, recipe: str) -> None:
    made, source = recipes.attached(scenes, **RECIPES[recipe])
    made.eval()
    pictures = source.items("val")[:3]
    collate = source.collate("val", source.visual, made.words.words)
    batch = collate(pictures)
    together = made.answer(batch.visual, questions(batch))
    assert_same(made.answer(batch.visual, questions(batch)), together)
    alone = [
        [made.answer(collate([[record]]).visual, [[record.question]])[0][0] for record in records]
        for records in pictures
    ]
    assert_same(alone, together)


def test_the_maps_have_the_looks_of_each_part_where_the_attention_has_parts(scenes: str) -> None:
    made, source = recipes.attached(scenes, co_attention=BILINEAR)
    batch = next(iter(source.val_dataloader()))
    for prediction in chain(*made.eval().answer(batch.visual, questions(batch))):
        image, parts = prediction.maps["image"], prediction.maps["image, parts"]
        assert parts.axes == ("glimpse", "level", "region")
        assert parts.weights.shape == (2, *image.weights.shape)
        assert (parts.kind, parts.query_labels, parts.key_layout) == (
            image.kind,
            image.query_labels,
            image.key_layout,
        )
        torch.testing.assert_close(parts.weights.mean(0), image.weights)
        assert not torch.allclose(parts.weights[0], parts.weights[1])
    one, _ = recipes.attached(scenes)
    alone = next(chain(*one.eval().answer(batch.visual, questions(batch))))
    assert alone.maps.keys() == {"image", "question"}


def trainer(folder: Path, **settings: Any) -> Trainer:
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        default_root_dir=folder,
        num_sanity_val_steps=0,
        **settings,
    )


def test_a_trained_model_comes_back_whole_from_its_checkpoint(scenes: str, tmp_path: Path) -> None:
    source = recipes.data(scenes, questions_per_image=2)
    made = recipes.module(source)
    run = trainer(tmp_path, max_epochs=1)
    run.fit(made, datamodule=source)
    names = {"train/cross_entropy", "train/loss", "train/accuracy", "val/cross_entropy", "val/accuracy"}
    assert names <= set(run.callback_metrics)
    run.save_checkpoint(tmp_path / "model.ckpt")
    loaded = load_module(tmp_path / "model.ckpt", VQAModule)
    assert loaded.words == made.words
    assert loaded.answers == made.answers
    fresh = recipes.data(scenes)
    loaded.attach(fresh)
    batch = next(iter(fresh.test_dataloader()))
    found, expected = (each.answer(batch.visual, questions(batch)) for each in (loaded, made.eval()))
    assert_same(found, expected)


KERNEL: Part = {"class_path": "vqa.models.KernelRidge", "init_args": {"ridge": 1e-3}}
STANDARDISED: Part = {"class_path": "common.encoders.StandardisedEncoder", "init_args": {"encoder": recipes.GRID}}


def test_what_memorises_is_shown_all_training_questions_before_training(scenes: str, tmp_path: Path) -> None:
    source = recipes.data(scenes, questions_per_image=1)
    made = recipes.module(source, STANDARDISED, model=KERNEL, co_attention=None)
    run = trainer(tmp_path, max_epochs=1, limit_train_batches=0)
    run.fit(made, datamodule=source)
    assert isinstance(made.model, KernelRidge)
    assert len(made.model.owner) == len(source.records("train"))
    assert len(made.model.seen) == len(source.items("train"))
    assert made.encoder.get_buffer("count") > 0
    run.save_checkpoint(tmp_path / "model.ckpt")
    loaded = load_module(tmp_path / "model.ckpt", VQAModule)
    loaded.attach(recipes.data(scenes))
    batch = source.collate("val", source.visual, source.vocabulary)(source.items("train")[:8])
    assert loaded.head.accuracy(loaded(batch).logits, batch) > 90
    found, expected = (each.answer(batch.visual, questions(batch)) for each in (loaded, made.eval()))
    assert_same(found, expected)


def test_a_resumed_run_keeps_what_it_has_memorised(scenes: str, tmp_path: Path) -> None:
    source = recipes.data(scenes)
    first, resumed = (recipes.module(source, STANDARDISED, model=KERNEL, co_attention=None) for _ in range(2))
    run = trainer(tmp_path, max_epochs=1, limit_train_batches=0)
    run.fit(first, datamodule=source)
    run.save_checkpoint(tmp_path / "model.ckpt")
    again = trainer(tmp_path, max_epochs=2, limit_train_batches=0)
    again.fit(resumed, datamodule=source, ckpt_path=tmp_path / "model.ckpt")
    assert resumed.encoder.get_buffer("count") == first.encoder.get_buffer("count")
    assert resumed.model.get_buffer("dual").equal(first.model.get_buffer("dual"))


@pytest.mark.parametrize(
    ("parts", "fault"),
    [
        ({"encoder": {**recipes.GRID, "init_args": recipes.GRID["init_args"] | {"train_from": 0}}}, "set .* to null"),
        ({"objective": {"class_path": "vqa.heads.GeneratedAnswer"}}, "in place of GeneratedAnswer"),
    ],
)
def test_what_memorises_wants_features_that_stay_and_known_answers(scenes: str, parts: Any, fault: str) -> None:
    with pytest.raises(ConfigError, match=f"^KernelRidge memorises [^\\n]*{fault}"):
        recipes.module(recipes.data(scenes), **{"model": KERNEL, "co_attention": None} | parts)


def test_validation_accuracy_is_the_mean_over_questions_of_all_batches(scenes: str, tmp_path: Path) -> None:
    source = recipes.data(scenes)
    made = recipes.module(source)
    (metrics,) = trainer(tmp_path).validate(made, datamodule=source, verbose=False)
    scores: list[float] = []
    for batch in source.val_dataloader():
        with torch.no_grad():
            best = made.eval()(batch).logits.argmax(-1)
        scores += [
            batch.targets[row, column, best[row, column]].item() for row, column in batch.asked.nonzero().tolist()
        ]
    assert len(scores) == len(source.records("val"))
    assert metrics["val/accuracy"] == pytest.approx(100 * sum(scores) / len(scores), rel=1e-5)


def test_the_mean_score_leaves_out_questions_that_were_not_asked() -> None:
    keep = torch.tensor([[[True], [True], [False]]])
    targets = torch.tensor([[[0.0, 0.6], [1.0, 0.0], [1.0, 1.0]]])
    visual = ImageBatch(torch.zeros(1, 3, 4, 4, dtype=torch.uint8), torch.zeros(1, 4))
    batch = VQABatch(visual, keep.long(), keep, targets, targets, ())
    logits = torch.tensor([[[0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]])
    head = ClassHead(["yes", "no"], LabelCrossEntropy())
    assert head.accuracy(logits, batch).item() == pytest.approx(30)


def test_unknown_words_are_told_and_read_as_such(scenes: str) -> None:
    made, source = recipes.attached(scenes)
    made.eval()
    batch = next(iter(source.val_dataloader()))
    count = len(batch.records)
    assert made.unknown_words("What colour is the zebra?") == ["zebra"]
    assert made.encoding.encode("zebra") == [UNKNOWN]
    one, other = (made.answer(batch.visual, [[f"is there a {word}?"]] * count) for word in ("zebra", "giraffe"))
    assert [found[0].score for found in one] == [found[0].score for found in other]
    assert one[0][0].maps["question"].key_layout == Words(("is", "there", "a", "zebra"))


@pytest.mark.parametrize("question", ["", " ? "])
def test_a_question_without_words_is_refused(scenes: str, question: str) -> None:
    made, source = recipes.attached(scenes)
    batch = next(iter(source.val_dataloader()))
    with pytest.raises(DataError, match=r"^the question '.*' has no words$"):
        made.answer(batch.visual, [[question]] * len(batch.records))


def test_shown_examples_are_of_the_first_validation_pictures_with_their_answers(scenes: str, tmp_path: Path) -> None:
    source = recipes.data(scenes)
    made = recipes.module(source)
    trainer(tmp_path).validate(made, datamodule=source, verbose=False)
    made.eval()
    examples = made.show_examples(source)
    assert len(examples) == SHOWN
    for example, asked in zip(examples, source.items("val"), strict=False):
        assert example.truth in {f"{record.question} {record.answers[0]}" for record in asked}
        assert example.image.size == (64, 64)
        assert example.figure.width > example.image.width
    assert len({example.truth.split("?")[0] for example in examples}) > 1, "not the same question each time"
    source._records["val"] = [replace(record, answers=("Two",) * 10) for record in source.records("val")]
    assert {example.truth.split("? ")[1] for example in made.show_examples(source)} == {"2"}, (
        "as the model would say it"
    )
