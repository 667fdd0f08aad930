import json
import multiprocessing
import os
import pickle
import re
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from common.attention.maps import Grid
from common.attention.visual import VisualFeatures
from common.data import features as features_module
from common.data.features import Encode, FeatureCache
from common.errors import DataError, ImageError

HEIGHT, WIDTH, DIM = 2, 3, 4


def number(path: Path) -> float:
    return float(path.read_text())


class Encoder:
    """Features that tell which image they are of: all values are the number in its file."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, paths: list[Path]) -> VisualFeatures:
        self.seen += [path.name for path in paths]
        numbers = torch.tensor([number(path) for path in paths])
        values = numbers[:, None, None].expand(-1, HEIGHT * WIDTH, DIM)
        keep = torch.arange(HEIGHT * WIDTH) > numbers[:, None] % 2
        view = torch.stack([-numbers, -numbers, 1 + numbers, 1 + numbers], 1)
        return VisualFeatures(values, keep, Grid(HEIGHT, WIDTH, view))


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    monkeypatch.setattr(features_module, "SHARD_SIZE", 4)
    paths = [tmp_path / f"{index}.jpg" for index in range(10)]
    for index, path in enumerate(paths):
        path.write_text(str(index))
    return paths


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_same_as_encoded(cache: FeatureCache, images: list[Path]) -> None:
    found, expected = cache.batch(images), Encoder()(images)
    assert found.values.dtype == cache.get(images[0]).values.dtype  # as it is stored
    assert torch.equal(found.values.float(), expected.values)
    assert torch.equal(found.keep, expected.keep)
    assert isinstance(found.layout, Grid)
    assert (found.layout.height, found.layout.width) == (HEIGHT, WIDTH)
    assert torch.equal(found.layout.view, expected.layout.view)


def test_features_come_back_for_any_images_in_any_order(images: list[Path], tmp_path: Path) -> None:
    cache = FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder(), batch_size=3)
    assert_same_as_encoded(cache, [images[index] for index in (9, 0, 5, 5, 3)])
    assert_same_as_encoded(FeatureCache.open(tmp_path / "cache", "resnet"), images)
    assert len(cache) == 10
    assert images[3] in cache
    assert tmp_path / "other.jpg" not in cache


def test_each_image_is_encoded_once_in_batches_of_the_size_given(images: list[Path], tmp_path: Path) -> None:
    encoder, sizes = Encoder(), []

    def encode(paths: list[Path]) -> VisualFeatures:
        sizes.append(len(paths))
        return encoder(paths)

    FeatureCache.write(tmp_path / "cache", "resnet", [*images, images[0]], encode, batch_size=3)
    assert encoder.seen == [path.name for path in images]
    assert sizes == [3, 1, 3, 1, 2]


@pytest.mark.parametrize(("dtype", "stored"), [("float16", torch.float16), ("float32", torch.float32)])
def test_values_are_stored_as_asked(images: list[Path], tmp_path: Path, dtype: str, stored: torch.dtype) -> None:
    cache = FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder(), dtype=dtype)
    values, keep, layout = cache.get(images[1])
    assert values.dtype == stored
    assert values.shape == (HEIGHT * WIDTH, DIM)
    assert keep.tolist() == [False, False, True, True, True, True]
    assert isinstance(layout, Grid)
    assert layout.view.tolist() == [-1, -1, 2, 2]


def test_a_path_is_the_same_image_relative_or_absolute(
    images: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cache = FeatureCache.write("cache", "resnet", [Path("3.jpg")], Encoder())
    assert images[3] in cache
    assert Path("../", tmp_path.name, "3.jpg") in cache


def test_only_images_that_are_missing_are_encoded(images: list[Path], tmp_path: Path) -> None:
    FeatureCache.write(tmp_path / "cache", "resnet", images[:5], Encoder())
    encoder = Encoder()
    cache = FeatureCache.write(tmp_path / "cache", "resnet", images, encoder)
    assert encoder.seen == [path.name for path in images[5:]]
    assert_same_as_encoded(cache, images)
    assert len(FeatureCache.write(tmp_path / "cache", "resnet", images[:2], Encoder())) == 10


def test_an_image_that_has_changed_is_encoded_again(images: list[Path], tmp_path: Path) -> None:
    FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder())
    images[5].write_text("55")
    encoder = Encoder()
    cache = FeatureCache.write(tmp_path / "cache", "resnet", images, encoder)
    assert encoder.seen == ["4.jpg", "5.jpg", "6.jpg", "7.jpg"]  # its shard
    assert_same_as_encoded(cache, images)


def test_an_interrupted_run_is_taken_up_where_it_stopped(images: list[Path], tmp_path: Path) -> None:
    def stop(paths: list[Path]) -> VisualFeatures:
        if images[6] in paths:
            raise KeyboardInterrupt
        return Encoder()(paths)

    with pytest.raises(KeyboardInterrupt):
        FeatureCache.write(tmp_path / "cache", "resnet", images, stop)
    assert len(FeatureCache.open(tmp_path / "cache", "resnet")) == 4
    encoder = Encoder()
    assert_same_as_encoded(FeatureCache.write(tmp_path / "cache", "resnet", images, encoder), images)
    assert encoder.seen == [path.name for path in images[4:]]


def test_a_shard_that_another_run_has_written_meanwhile_is_taken(images: list[Path], tmp_path: Path) -> None:
    encoder = Encoder()

    def overtaken(paths: list[Path]) -> VisualFeatures:
        if not encoder.seen:
            FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder())
        return encoder(paths)

    assert_same_as_encoded(FeatureCache.write(tmp_path / "cache", "resnet", images, overtaken), images)
    assert encoder.seen == [path.name for path in images[:4]]
    assert len(names(tmp_path / "cache")) == 3


def write_at_once(folder: Path, images: list[Path], barrier: Callable[[], object]) -> None:
    barrier()
    assert_same_as_encoded(FeatureCache.write(folder, "resnet", images, Encoder()), images)


def test_processes_that_write_at_the_same_time_do_no_harm(images: list[Path], tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    runs = [context.Process(target=write_at_once, args=(tmp_path / "cache", images, barrier.wait)) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert [run.exitcode for run in runs] == [0, 0, 0]
    assert len(names(tmp_path / "cache")) == 3
    assert_same_as_encoded(FeatureCache.open(tmp_path / "cache", "resnet"), images)


def test_a_pickled_cache_is_small_and_maps_the_shards_anew(images: list[Path], tmp_path: Path) -> None:
    def large(paths: list[Path]) -> VisualFeatures:
        features = Encoder()(paths)
        return VisualFeatures(features.values.repeat(1, 1, 10_000), features.keep, features.layout)

    cache = FeatureCache.write(tmp_path / "cache", "resnet", images, large)
    cache.batch(images)
    pickled = pickle.dumps(cache)
    assert len(pickled) < 10_000
    assert torch.equal(pickle.loads(pickled).batch(images).values, cache.batch(images).values)


@pytest.mark.parametrize(
    ("fingerprint", "dtype", "message"),
    [("vit", "float16", r"another encoder \(resnet, wanted vit\)"), ("resnet", "float32", "another dtype")],
)
def test_features_of_another_encoder_are_refused(
    images: list[Path], tmp_path: Path, fingerprint: str, dtype: str, message: str
) -> None:
    FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder())
    with pytest.raises(DataError, match=message):
        FeatureCache.write(tmp_path / "cache", fingerprint, images, Encoder(), dtype=dtype)
    with pytest.raises(
        DataError, match=r"name another folder \(of data: --data\.init_args\.loading\.cache FOLDER, or null for none\)$"
    ):
        FeatureCache.open(tmp_path / "cache", "vit")


def test_what_is_not_there_is_named(images: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no cached features in .*cache"):
        FeatureCache.open(tmp_path / "cache", "resnet")
    with pytest.raises(ImageError, match=r"image .*gone.jpg cannot be read: No such file"):
        FeatureCache.write(tmp_path / "cache", "resnet", [tmp_path / "gone.jpg"], Encoder())
    cache = FeatureCache.write(tmp_path / "cache", "resnet", images[:3], Encoder())
    with pytest.raises(DataError, match=r"image .*6.jpg has no features in the cache"):
        cache.batch(images[6:8])


@pytest.mark.parametrize("content", [b"", b"half of a shard", b"\xff" * 100])
def test_a_damaged_shard_is_named(images: list[Path], tmp_path: Path, content: bytes) -> None:
    FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder())
    shard = tmp_path / "cache" / names(tmp_path / "cache")[1]
    shard.write_bytes(content or shard.read_bytes()[:-8])
    with pytest.raises(DataError, match=f"{shard.name} is no shard .*delete it"):
        FeatureCache.open(tmp_path / "cache", "resnet")


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 1000 bytes: the operating system refuses, as it does when a disk is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_is_told_in_a_line_and_leaves_nothing_half_written(images: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*: File too large") as caught:
        FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder(), dtype="float32")
    assert "\n" not in str(caught.value)
    assert names(tmp_path / "cache") == []


def test_a_folder_that_cannot_be_made_is_told_in_a_line(images: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*: Not a directory"):
        FeatureCache.write(images[0] / "cache", "resnet", images, Encoder())


def test_values_too_large_for_float16_are_refused_not_stored_as_infinite(images: list[Path], tmp_path: Path) -> None:
    images[2].write_text("70000")
    with pytest.raises(DataError, match="try float32"):
        FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder())
    cache = FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder(), dtype="float32")
    assert_same_as_encoded(cache, images)


def test_features_that_are_no_numbers_are_refused_with_their_image(images: list[Path], tmp_path: Path) -> None:
    images[2].write_text("nan")
    with pytest.raises(DataError, match=r"the features of .*/2\.jpg are not all finite"):
        FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder())


def test_images_at_fault_are_complained_of_and_left_out_and_tried_again(images: list[Path], tmp_path: Path) -> None:
    images[2].write_text("nan")
    images[5].write_text("70000")
    images[8].unlink()

    def encode(paths: list[Path]) -> VisualFeatures:
        if images[3] in paths:
            raise ImageError(f"image {images[3]} cannot be decoded")
        return Encoder()(paths)

    def write(encode: Encode) -> tuple[FeatureCache, list[str]]:
        faults: list[str] = []
        cache = FeatureCache.write(
            tmp_path / "cache", "resnet", images, encode, complain=lambda fault: faults.append(str(fault))
        )
        return cache, [re.findall(r"(\d)\.jpg", fault)[0] for fault in faults]

    cache, faults = write(encode)
    assert faults == ["8", "2", "3", "5"]
    assert_same_as_encoded(cache, [images[index] for index in (0, 1, 4, 6, 7, 9)])
    assert len(cache) == 6
    images[2].write_text("2")
    cache, faults = write(Encoder())
    assert faults == ["8", "5"]
    assert_same_as_encoded(cache, [images[index] for index in (0, 1, 2, 3, 4, 6, 7, 9)])


def test_what_is_wrong_with_the_disk_is_not_complained_of_but_ends_it(images: list[Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot write"):
        FeatureCache.write(images[0] / "cache", "resnet", images, Encoder(), complain=lambda fault: None)


def test_features_depend_on_what_is_said_of_an_image_besides(images: list[Path], tmp_path: Path) -> None:
    FeatureCache.write(tmp_path / "cache", "resnet", dict.fromkeys(images, "boxes"), Encoder())
    encoder = Encoder()
    FeatureCache.write(tmp_path / "cache", "resnet", dict.fromkeys(images, "boxes") | {images[1]: "others"}, encoder)
    assert encoder.seen == [f"{number}.jpg" for number in range(4)]  # its shard


def test_a_cache_of_an_earlier_version_can_be_read(images: list[Path], tmp_path: Path) -> None:
    FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder())
    for shard in (tmp_path / "cache").iterdir():
        with safe_open(shard, framework="pt") as file:
            header = json.loads(file.metadata()["header"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        assert header.pop("names") == []
        save_file(tensors, shard, metadata={"header": json.dumps(header)})
    assert_same_as_encoded(FeatureCache.open(tmp_path / "cache", "resnet"), images)


def test_shards_can_be_read_by_others_as_the_folder_can(images: list[Path], tmp_path: Path) -> None:
    before = os.umask(0o022)
    FeatureCache.write(tmp_path / "cache", "resnet", images, Encoder())
    os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "cache").iterdir()} == {0o644}
