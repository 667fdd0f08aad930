from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from captioning.module import CaptioningModule
from common.attention import Boxes, Grid
from common.data.module import Loading
from common.data.records import Prediction
from common.encoders import ImageEncoder
from common.errors import CheckpointError, ConfigError
from common.search import Search
from common.training.checkpoints import build_encoder, load_module
from common.training.task import SHOWN
from tests.captioning import recipes
from tests.captioning.recipes import ADAPTIVE, BOXES, CROSS_ENTROPY, DOUBLY, HARD, MESHED, REINFORCE, SOFT, TRANSFORMER
from vqa.module import VQAModule


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


def assert_same(found: list[Prediction], expected: list[Prediction]) -> None:
    assert [each.text for each in found] == [each.text for each in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-4)
        assert [each.text for each in one.alternatives] == [each.text for each in other.alternatives]
        torch.testing.assert_close(one.maps["caption"].weights, other.maps["caption"].weights)


RECIPES: dict[str, dict[str, Any]] = {
    "soft": {"objectives": (CROSS_ENTROPY, DOUBLY)},
    "hard": {"attention": HARD, "objectives": (CROSS_ENTROPY, REINFORCE)},
    "boxes": {"encoder": BOXES},
    "adaptive": {"decoder": ADAPTIVE, "objectives": (CROSS_ENTROPY, DOUBLY)},
    "transformer": {"decoder": TRANSFORMER, "attention": None},
    "meshed": {"decoder": MESHED, "attention": None, "objectives": (CROSS_ENTROPY, DOUBLY)},
}
KINDS = {"hard": "hard", "adaptive": "soft with sentinel", "transformer": "multi-head", "meshed": "multi-head"}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_captioner_learns_a_batch_and_says_where_it_looks(scenes: str, recipe: str) -> None:
    made, source = recipes.attached(scenes, **RECIPES[recipe])
    batch = next(iter(source.val_dataloader()))
    losses = recipes.overfit(made, batch)
    assert losses[-1] < 0.7 * losses[0]
    predictions = made.caption(batch.visual, replace(made.search, best=3))
    assert len(predictions) == len(batch.records)
    for index, prediction in enumerate(predictions):
        words = prediction.text.split()
        attention = prediction.maps["caption"]
        assert words
        assert attention.query_labels == tuple(words)
        assert attention.kind == KINDS.get(recipe, "soft")
        seen = attention.weights.sum(-1)
        if recipe == "adaptive":  # the rest is the sentinel's
            assert 0 < seen.min() <= seen.max() < 1
        else:
            torch.testing.assert_close(seen, torch.ones(len(words)))
        if attention.kind == "multi-head":
            heads = prediction.maps["caption, parts"]
            assert heads.axes == ("head", "word", "region")
            torch.testing.assert_close(heads.weights.mean(0), attention.weights)
        assert len(prediction.token_log_probs) == len(words) + 1
        assert prediction.score == pytest.approx(sum(prediction.token_log_probs), abs=1e-4)
        assert 0 < len(prediction.alternatives) <= 2
        assert all(other.score <= prediction.score for other in prediction.alternatives)
        for other in prediction.alternatives:
            assert other.text != prediction.text
            assert other.maps.keys() == prediction.maps.keys()
            assert other.maps["caption"].query_labels == tuple(other.text.split())
            assert len(other.token_log_probs) == len(other.text.split()) + 1
        if recipe == "boxes":
            assert isinstance(attention.key_layout, Boxes)
            assert torch.equal(attention.key_layout.corners, batch.visual.boxes[index])
        else:
            assert isinstance(attention.key_layout, Grid)
            assert attention.weights.shape[-1] == attention.key_layout.height * attention.key_layout.width


@pytest.mark.parametrize("recipe", RECIPES)
def test_captions_are_the_same_each_time_and_for_each_picture_alone(scenes: str, recipe: str) -> None:
    made, source = recipes.attached(scenes, **RECIPES[recipe])
    made.eval()
    batch = source.collate("val", source.visual, made.words.words)(source.records("val")[:4])
    together = made.caption(batch.visual)
    assert_same(made.caption(batch.visual), together)
    alone = [
        made.caption(source.collate("val", source.visual, made.words.words)([record]).visual)[0]
        for record in batch.records
    ]
    assert_same(alone, together)


def test_validation_s_loss_is_the_mean_over_all_words_however_the_batches_are_cut(scenes: str, tmp_path: Path) -> None:
    losses = []
    for size in (8, 3):
        source = recipes.data(scenes, loading=Loading(size, in_memory=True))
        torch.manual_seed(0)
        made = recipes.module(source.vocabulary, objectives=(CROSS_ENTROPY, DOUBLY))
        (metrics,) = trainer(tmp_path).validate(made, datamodule=source, verbose=False)
        losses.append([metrics["val/cross_entropy"], metrics["val/doubly_stochastic"]])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_the_search_can_be_changed_for_one_call(scenes: str) -> None:
    made, source = recipes.attached(scenes)
    made.eval()
    batch = next(iter(source.val_dataloader()))
    for prediction in made.caption(batch.visual, Search(beam=1, longest=2)):
        assert prediction.alternatives == ()
        assert len(prediction.text.split()) <= 2


def test_captioning_keeps_no_graph_of_a_trained_encoder(scenes: str) -> None:
    trained: Any = {**recipes.GRID, "init_args": {**recipes.GRID["init_args"], "train_from": 0}}
    made, source = recipes.attached(scenes, encoder=trained)
    batch = next(iter(source.val_dataloader()))
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: pytest.fail("a tensor was saved"), lambda saved: saved
    ):
        made.caption(batch.visual)


@pytest.mark.parametrize("recipe", ["soft", "adaptive", "meshed"])
def test_a_trained_captioner_comes_back_whole_from_its_checkpoint(
    recipe: str, scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = recipes.data(scenes, captions_per_image=2)
    made = recipes.module(source.vocabulary, **RECIPES[recipe])
    run = trainer(tmp_path, max_epochs=1)
    run.fit(made, datamodule=source)
    assert {"train/cross_entropy", "train/loss", "val/cross_entropy", "val/CIDEr-D", "val/BLEU-4"} <= set(
        run.callback_metrics
    )
    run.save_checkpoint(tmp_path / "model.ckpt")
    with monkeypatch.context() as patch:
        patch.setattr(ImageEncoder, "_measure_offset", lambda *_: pytest.fail("measured, but the checkpoint has it"))
        loaded = load_module(tmp_path / "model.ckpt", CaptioningModule)
        build_encoder(recipes.GRID, str(tmp_path / "model.ckpt"))
    assert torch.equal(loaded.encoder.offset, made.encoder.offset)  # type: ignore[arg-type]
    assert made.encoder.offset.any()
    assert loaded.words == made.words
    assert loaded.search == made.search
    fresh = recipes.data(scenes)
    loaded.attach(fresh)
    batch = next(iter(fresh.test_dataloader()))
    assert_same(loaded.caption(batch.visual), made.eval().caption(batch.visual))
    with pytest.raises(CheckpointError, match=r"is a checkpoint for captioning, not for vqa: use scripts/caption\.py"):
        load_module(tmp_path / "model.ckpt", VQAModule)


def test_hard_attention_trains_with_reinforce_and_keeps_its_baseline(scenes: str, tmp_path: Path) -> None:
    source = recipes.data(scenes)
    made = recipes.module(source.vocabulary, attention=HARD, objectives=(CROSS_ENTROPY, REINFORCE))
    run = trainer(tmp_path, max_steps=2, limit_val_batches=0)
    before = made.decoder.attention.score.map_query.weight.clone()  # type: ignore[union-attr, operator]
    run.fit(made, datamodule=source)
    assert {"train/reinforce", "train/attention_entropy"} <= set(run.callback_metrics)
    assert not torch.equal(before, made.decoder.attention.score.map_query.weight)  # type: ignore[arg-type]
    run.save_checkpoint(tmp_path / "model.ckpt")
    baseline = load_module(tmp_path / "model.ckpt", CaptioningModule).objectives[1].baseline
    assert isinstance(baseline, torch.Tensor)
    assert baseline < 0
    assert torch.equal(baseline, made.objectives[1].baseline)  # type: ignore[arg-type]


def test_training_by_reward_shows_its_rewards_and_is_validated_as_ever(scenes: str, tmp_path: Path) -> None:
    source = recipes.data(scenes)
    reward: Any = {"class_path": "captioning.rewards.RougeLReward", "init_args": {"weight": 2.0}}
    settings = {"baseline": "greedy", "samples": 2, "longest": 12, "rewards": [reward]}
    critical: Any = {"class_path": "captioning.objectives.SelfCritical", "init_args": settings}
    made = recipes.module(source.vocabulary, objectives=(critical,))
    before = made.decoder.embedding.weight.clone()  # type: ignore[operator, union-attr]
    run = trainer(tmp_path, max_steps=2, limit_val_batches=1, val_check_interval=2)
    run.fit(made, datamodule=source)
    shown = {"self_critical", "reward", "baseline_reward", "word_entropy", "caption_length", "unfinished"}
    assert {f"train/{name}" for name in shown} | {"val/CIDEr-D"} <= set(run.callback_metrics)
    assert not torch.equal(before, made.decoder.embedding.weight)  # type: ignore[arg-type]


@pytest.mark.parametrize("recipe", ["soft", "adaptive", "transformer"])
def test_attention_that_draws_nothing_is_refused_with_reinforce_at_the_first_step(scenes: str, recipe: str) -> None:
    made, source = recipes.attached(scenes, **(RECIPES[recipe] | {"objectives": (REINFORCE,)}))
    with pytest.raises(ConfigError, match="is for hard attention"):
        made(next(iter(source.train_dataloader())))


def test_a_decoder_gets_attention_if_and_only_if_it_takes_one(scenes: str) -> None:
    with pytest.raises(ConfigError, match=r"^captioning\.decoders\.ShowAttendTell needs attention: name a mechanism"):
        recipes.attached(scenes, attention=None)
    with pytest.raises(ConfigError, match=r"TransformerDecoder is made of attention itself .* write attention: null"):
        recipes.attached(scenes, decoder=TRANSFORMER, attention=SOFT)


def test_features_from_a_cache_train_as_pictures_do(scenes: str, tmp_path: Path) -> None:
    made, source = recipes.attached(scenes)
    made.train()
    cached = recipes.data(scenes, loading=Loading(8, cache=str(tmp_path / "cache")))
    made.attach(cached)
    one, other = (made(next(iter(each.val_dataloader())))["cross_entropy"] for each in (source, cached))
    assert one.item() == pytest.approx(other.item(), rel=1e-3)


def test_shown_examples_are_the_first_validation_pictures_with_their_captions(scenes: str, tmp_path: Path) -> None:
    source = recipes.data(scenes)
    made = recipes.module(source.vocabulary)
    trainer(tmp_path).validate(made, datamodule=source, verbose=False)
    made.eval()
    examples = made.show_examples(source)
    assert len(examples) == SHOWN
    for example, record in zip(examples, source.records("val"), strict=False):
        assert example.truth == " / ".join(record.captions)
        assert example.image.size == (64, 64)
        assert example.figure.width > example.image.width
        assert example.prediction.maps


def test_several_objectives_are_named_and_added_up(scenes: str) -> None:
    made, source = recipes.attached(scenes, objectives=(CROSS_ENTROPY, DOUBLY))
    terms = made(next(iter(source.val_dataloader())))
    assert set(terms) == {"cross_entropy", "doubly_stochastic"}
    assert all(term > 0 for term in terms.values())


def test_a_captioner_without_objectives_is_refused(scenes: str) -> None:
    with pytest.raises(ConfigError, match="objectives is empty"):
        recipes.attached(scenes, objectives=())
