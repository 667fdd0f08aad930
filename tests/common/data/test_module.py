from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from PIL import Image
from torch import nn

from common.attention import Grid, VisualFeatures
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.data.loading import VisualLoader
from common.data.module import Loading, PictureData
from common.data.readers import CaptionSource, JsonlCaptions
from common.data.records import CaptionRecord
from common.data.scenes import SceneCaptions
from common.encoders import ImageEncoder, RegionEncoder, StoredRegions
from common.errors import ConfigError


class Drawn(NamedTuple):
    """A batch, and a number drawn by whoever made it."""

    visual: ImageBatch | VisualFeatures
    ids: list[int | str]
    draw: float


@dataclass
class Collate:
    loader: VisualLoader

    def __call__(self, records: Sequence[CaptionRecord]) -> Drawn:
        return Drawn(self.loader(records), [record.image_id for record in records], torch.rand(()).item())


class Pictures(PictureData[CaptionRecord, CaptionSource]):
    """Pictures with nothing but their ids."""

    def check(self, split: str, records: Sequence[CaptionRecord]) -> None:
        """Any will do."""

    def collate(self, split: str, loader: VisualLoader, words: Sequence[str]) -> Callable[[Any], Any]:
        return Collate(loader)


def encoder(**settings: Any) -> ImageEncoder:
    return ImageEncoder("test_resnet", image_size=(32, 32), **settings).eval()


def data(scenes: str, **loading: Any) -> Pictures:
    return Pictures(
        SceneCaptions("tiny", "train", scenes), SceneCaptions("tiny", "val", scenes), None, Loading(16, **loading)
    )


def test_a_split_without_a_source_is_named(scenes: str) -> None:
    with pytest.raises(ConfigError, match=r"^data\.test is not set: name where the test records come from$"):
        data(scenes).records("test")


def test_loading_before_the_encoder_is_known_says_what_to_call(scenes: str) -> None:
    with pytest.raises(ConfigError, match=r"call attach\(encoder, vocabulary\) first"):
        data(scenes).train_dataloader()


@pytest.mark.parametrize("settings", [{"batch_size": 0}, {"workers": -1}])
def test_impossible_batches_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="batch_size must be at least 1 and workers at least 0"):
        Loading(**settings)  # type: ignore[arg-type]


def test_a_split_is_read_once(scenes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = data(scenes)
    first = pictures.records("val")
    monkeypatch.setattr(SceneCaptions, "read", lambda self: pytest.fail("read again"))
    assert pictures.records("val") is first


def order(loader: Any, epoch: int | None = None) -> list[int | str]:
    if epoch is not None:
        loader.sampler.set_epoch(epoch)
    return [image_id for batch in loader for image_id in batch.ids]


def test_training_batches_have_an_order_of_their_own_in_each_epoch_and_others_the_records(
    scenes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "0")  # as Lightning's seed_everything does
    pictures = data(scenes, in_memory=True)
    pictures.attach(encoder(), ())
    train = pictures.train_dataloader()
    first, second, again = (order(train, epoch) for epoch in (0, 1, 0))
    assert first == again != second
    assert sorted(first) == sorted(second) == list(range(48))  # type: ignore[type-var]
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    assert order(pictures.train_dataloader(), 0) != first, "another seed, another order"
    assert order(pictures.val_dataloader()) == list(range(16))


def test_two_workers_give_the_batches_of_one_process_and_draw_anew_in_each_epoch(scenes: str) -> None:
    alone, helped = data(scenes), data(scenes, workers=2)
    for pictures in (alone, helped):
        pictures.attach(encoder(), ())
    loader = helped.train_dataloader()
    batches = list(loader)
    for found, expected in zip(batches, alone.train_dataloader(), strict=True):
        assert found.ids == expected.ids
        assert torch.equal(found.visual.pixels, expected.visual.pixels)
    again = [batch.draw for batch in loader]
    loader.sampler.set_epoch(1)  # type: ignore[attr-defined]
    other = [batch.draw for batch in loader]
    assert again == [batch.draw for batch in batches]
    assert not set(other) & set(again)


def test_cached_features_are_the_encoders_own_to_half_precision(scenes: str, tmp_path: Path) -> None:
    model = encoder()
    direct, cached = data(scenes), data(scenes, cache=str(tmp_path / "cache"))
    for pictures in (direct, cached):
        pictures.attach(model, ())
    for found, expected in zip(cached.val_dataloader(), direct.val_dataloader(), strict=True):
        with torch.no_grad():
            features = model(expected.visual)
        assert found.visual.values.dtype == torch.float16  # half as much to carry from the workers to the device
        torch.testing.assert_close(found.visual.values.float(), features.values, rtol=2e-3, atol=1e-3)
        assert torch.equal(found.visual.keep, features.keep)
        assert torch.equal(found.visual.layout.view, features.layout.view)  # type: ignore[union-attr]


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that image encoders have seen."""
    sizes: list[int] = []
    forward = ImageEncoder.forward

    def count(self: ImageEncoder, images: ImageBatch) -> VisualFeatures:
        sizes.append(len(images.pixels))
        return forward(self, images)

    monkeypatch.setattr(ImageEncoder, "forward", count)
    return sizes


def test_an_encoder_runs_once_per_picture_over_all_epochs_and_runs(
    scenes: str, tmp_path: Path, encoded: list[int]
) -> None:
    model = encoder()
    for _ in range(2):
        pictures = data(scenes, cache=str(tmp_path / "cache"))
        pictures.attach(model, ())
        for _ in range(2):
            assert len(order(pictures.train_dataloader())) == 48
    assert sum(encoded) == 48 + 16


def test_a_cache_is_made_for_the_wanted_splits_from_their_data_alone_and_extended_for_others(
    scenes: str, tmp_path: Path, encoded: list[int]
) -> None:
    model = encoder()
    pictures = data(scenes, cache=str(tmp_path / "cache"))
    pictures.sources["train"] = JsonlCaptions("absent.jsonl", "absent")
    pictures.attach(model, (), ("val",))
    assert order(pictures.val_dataloader()) == list(range(16))
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert sum(encoded) == 16

    for splits in (("train", "val"), ("train",), ("val",)):
        pictures = data(scenes, cache=str(tmp_path / "cache"))
        pictures.attach(model, (), splits)
        assert len(order(pictures.loader(splits[0]))) in (48, 16)
        assert sum(encoded) == 16 + 48
    assert written.items() <= {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}.items()


def test_decoded_pictures_are_not_kept_where_features_are_cached(
    scenes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []
    prepare = Preprocessing.prepare

    def watch(self: Preprocessing, image: Image.Image) -> tuple[torch.Tensor, torch.Tensor]:
        pixels, view = prepare(self, image)
        prepared.append(weakref.ref(pixels))
        alive.append(sum(each() is not None for each in prepared))
        return pixels, view

    monkeypatch.setattr(Preprocessing, "prepare", watch)
    pictures = data(scenes, in_memory=True, cache=str(tmp_path / "cache"))
    pictures.attach(encoder(), ())
    assert len(prepared) == 48 + 16
    assert max(alive) <= 32, "more than a batch at once"


class Elsewhere(nn.Module):
    """An encoder on another device, as far as tests can have one."""

    preprocessing, needs_boxes, needs_cache, frozen = Preprocessing((8, 8)), False, False, True

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, device="meta"))

    def fingerprint(self) -> str:
        return "elsewhere"

    def forward(self, images: ImageBatch) -> VisualFeatures:
        assert images.pixels.device == images.view.device == self.weight.device
        batch = len(images.pixels)
        return VisualFeatures(torch.zeros(batch, 1, 2), torch.ones(batch, 1) > 0, Grid(1, 1, torch.zeros(batch, 4)))


def test_features_for_a_cache_are_computed_where_the_encoder_is(scenes: str, tmp_path: Path) -> None:
    pictures = data(scenes, cache=str(tmp_path / "cache"))
    pictures.attach(Elsewhere(), ())
    assert len(order(pictures.val_dataloader())) == 16


def test_features_that_change_are_not_cached(scenes: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^data\.init_args\.loading\.cache keeps features of a frozen encoder: [^\n]*null$"
    ):
        data(scenes, cache=str(tmp_path)).attach(encoder(train_from=0), ())


def test_a_model_of_stored_regions_asks_for_a_cache(scenes: str) -> None:
    with pytest.raises(ConfigError, match=r"reads stored regions: set data\.init_args\.loading\.cache to the folder"):
        data(scenes).attach(StoredRegions("bottom-up", 4), ())


def test_boxes_travel_with_the_pictures_for_an_encoder_that_needs_them(scenes: str) -> None:
    pictures = data(scenes)
    model = RegionEncoder(encoder())
    pictures.attach(model, ())
    batch = next(iter(pictures.val_dataloader()))
    assert batch.visual.boxes.shape == (16, 2, 4)
    assert batch.visual.box_keep.all()
    assert model(batch.visual).values.shape == (16, 2, model.dim)


def seen(loader: Any) -> torch.Tensor:
    """The pictures of a split in the order of their ids."""
    batches = list(loader)
    order = torch.tensor([number for batch in batches for number in batch.ids]).argsort()
    return torch.cat([batch.visual.pixels for batch in batches])[order]


def test_only_training_pictures_are_shown_as_in_a_mirror(scenes: str) -> None:
    plain, mirroring = data(scenes, in_memory=True), data(scenes, in_memory=True, mirror=True)
    torch.manual_seed(0)
    for pictures in (plain, mirroring):
        pictures.attach(encoder(train_from=0), ())
    assert seen(plain.val_dataloader()).equal(seen(mirroring.val_dataloader()))
    first, second = seen(mirroring.train_dataloader()), seen(plain.train_dataloader())
    turned = [not one.equal(other) for one, other in zip(first, second, strict=True)]
    chosen = torch.tensor(turned)
    assert 0 < chosen.sum() < len(chosen)
    assert first[chosen].equal(second[chosen].flip(-1))


def test_training_pictures_are_evaluated_in_order_and_as_they_are(scenes: str) -> None:
    plain, mirroring = data(scenes, in_memory=True), data(scenes, in_memory=True, mirror=True)
    for pictures in (plain, mirroring):
        pictures.attach(encoder(train_from=0), ())
    batches = list(mirroring.in_order("train"))
    assert [number for batch in batches for number in batch.ids] == [each.image_id for each in plain.records("train")]
    assert torch.cat([batch.visual.pixels for batch in batches]).equal(seen(plain.in_order("train")))


def test_a_mirror_and_a_cache_do_not_go_together() -> None:
    with pytest.raises(ConfigError, match=r"set data\.init_args\.loading\.cache to null"):
        Loading(cache="runs/cache", mirror=True)
