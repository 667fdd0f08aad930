from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from common.attention.maps import Boxes
from common.data.bottom_up import FIELDS, RegionNpz, RegionTsv, find_id
from common.errors import DataError, ImageError

Array = NDArray[np.float32]
BOXES: Array = np.array([[0, 0, 320, 240], [64, 48, 640, 480]], np.float32)  # of a picture of 640 x 480
FEATURES: Array = np.arange(6, dtype=np.float32).reshape(2, 3)
Faults = list[DataError | ImageError]


def line(image_id: int | str = 42, boxes: Array = BOXES, features: Array = FEATURES, **changes: Any) -> str:
    """A line as bottom-up attention's generate_tsv wrote it."""
    fields = {
        "image_id": image_id,
        "image_w": 640,
        "image_h": 480,
        "num_boxes": len(boxes),
        "boxes": base64.b64encode(boxes.tobytes()).decode(),
        "features": base64.b64encode(features.tobytes()).decode(),
    }
    return "\t".join(str((fields | changes)[name]) for name in FIELDS) + "\r\n"


def tsv(folder: Path, *lines: str, faults: Faults | None = None) -> RegionTsv:
    path = folder / "regions.tsv"
    path.write_text("".join(lines), newline="")
    return RegionTsv([path], (faults if faults is not None else []).append)


def test_lines_are_read_by_image_whatever_their_length(tmp_path: Path) -> None:
    large = np.ones((100, 2048), np.float32)  # a field beyond what the csv module takes
    corners = np.tile(np.array([0, 0, 640, 480], np.float32), (100, 1))
    files = tsv(tmp_path, line(7, corners, large), line(42), line(9, BOXES[:1], FEATURES[:1]).rstrip())
    assert set(files.ids()) == {"7", "42", "9"}
    values, corners_read = files.read("42")
    assert values.tolist() == FEATURES.tolist()
    torch.testing.assert_close(corners_read, torch.tensor([[0, 0, 0.5, 0.5], [0.1, 0.1, 1, 1]]))
    assert files.read("7").values.shape == (100, 2048)
    assert files.read("9").values.shape == (1, 3)


def test_several_files_are_one_and_the_last_line_of_an_image_counts(tmp_path: Path) -> None:
    for name, number in (("a", 1), ("b", 2)):
        (tmp_path / name).write_text(line(42, features=FEATURES * number) + line(number))
    files = RegionTsv([tmp_path / "a", tmp_path / "b"], pytest.fail)
    assert set(files.ids()) == {"42", "1", "2"}
    assert files.read("42").values.tolist() == (2 * FEATURES).tolist()


def test_images_make_a_batch_those_without_regions_too(tmp_path: Path) -> None:
    empty = np.zeros((0, 4), np.float32)
    files = tsv(tmp_path, line(1, empty, empty), line(2), line(3, BOXES[:1], FEATURES[:1]))
    features = files.encode(["1", "2", "3"])
    assert features.values.shape == (3, 2, 3)
    assert features.keep.sum(1).tolist() == [0, 2, 1]
    assert isinstance(features.layout, Boxes)
    assert files.encode(["1"]).values.shape == (1, 1, 3)


def test_lines_without_all_fields_are_told_and_left_out(tmp_path: Path) -> None:
    faults: Faults = []
    files = tsv(tmp_path, line(1), "\n", line(2)[:9] + "\n", line(3), faults=faults)
    assert set(files.ids()) == {"1", "3"}
    (fault,) = faults
    assert str(fault).startswith(f"{tmp_path}/regions.tsv, line 3 has not the fields image_id, ")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (line(features=np.array([[0, 1], [np.nan, 3]], np.float32)), "line 1 has features that are not finite"),
        (line(boxes=BOXES * 2), "line 1 has a box outside the picture, number 2 at "),
        (line(boxes=BOXES[:, [2, 3, 0, 1]]), "line 1 has a box outside the picture, number 1 at "),
        (line(image_w=0), "line 1 says that its image is 0 x 480 pixels large"),
        (line(num_boxes=5), r"line 1 \(image 42\) is damaged: cannot reshape"),
        (line(num_boxes=4), r"line 1 has features of shape \(4, .*|line 1 \(image 42\) is damaged"),
        (line(num_boxes="two"), r"line 1 \(image 42\) is damaged: invalid literal"),
        (line(features=FEATURES.astype("<f4"), boxes=BOXES)[:-7], r"line 1 \(image 42\) is damaged"),
        (line(boxes=np.zeros((2, 5), np.float32)), r"features of shape \(2, 3\) for boxes of shape \(2, 5\)"),
    ],
)
def test_damaged_lines_are_told_with_their_place(tmp_path: Path, content: str, message: str) -> None:
    files = tsv(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        files.read("42")
    assert "\n" not in str(caught.value)


def test_regions_of_another_width_are_told_and_damaged_ones_do_not_tell_the_width(tmp_path: Path) -> None:
    files = tsv(tmp_path, line(0, num_boxes=7), line(1), line(2, features=FEATURES[:, :2].copy()))
    assert files.dim == 3
    with pytest.raises(DataError, match="the regions of image 2 are 2 wide, others 3"):
        files.encode(["1", "2"])
    with pytest.raises(DataError, match="none of the images has a region"):
        _ = tsv(tmp_path, line(0, num_boxes=7)).dim


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    faults: Faults = []
    with pytest.raises(DataError, match=r"regions\.tsv has no lines of image_id, image_w, .*, separated by tabs"):
        tsv(tmp_path, "hello\n", "world\n", faults=faults)
    assert not faults  # one line says it
    with pytest.raises(DataError, match=r"absent\.tsv cannot be read: No such file"):
        RegionTsv([tmp_path / "absent.tsv"], pytest.fail)
    with pytest.raises(DataError, match=r"is no folder with \.npz files"):
        RegionNpz(tmp_path)


NPZ: dict[str, Any] = {"x": FEATURES, "bbox": BOXES, "num_bbox": 2, "image_w": 640, "image_h": 480}


@pytest.mark.parametrize(
    "arrays",
    [
        NPZ,
        NPZ | {"x": FEATURES.T},
        {"feat": FEATURES} | {name: NPZ[name] for name in ("bbox", "image_w", "image_h")},
        NPZ | {"x": np.pad(FEATURES, ((0, 3), (0, 0))), "bbox": np.pad(BOXES, ((0, 3), (0, 0)))},
        NPZ | {"info": np.array({"objects": 1}, dtype=object)},  # pickled: never looked at
    ],
)
def test_one_npz_for_each_image_is_read_in_all_its_forms(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "42.npz", **arrays)
    files = RegionNpz(tmp_path)
    assert (list(files.ids()), files.dim) == (["42"], 3)
    values, corners = files.read("42")
    assert values.tolist() == FEATURES.tolist()
    torch.testing.assert_close(corners, torch.tensor([[0, 0, 0.5, 0.5], [0.1, 0.1, 1, 1]]))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": FEATURES}, "42.npz is no file of regions: it lacks x"),
        (NPZ | {"bbox": BOXES[:1]}, r"42.npz has features of shape \(2, 3\) for boxes of shape \(1, 4\)"),
        (NPZ | {"x": FEATURES + np.inf}, "42.npz has features that are not finite"),
        (NPZ | {"x": np.array({"a": 1}, dtype=object)}, "42.npz is damaged: Object arrays cannot be loaded"),
        (None, "42.npz is damaged: "),
    ],
)
def test_a_damaged_npz_is_told(tmp_path: Path, arrays: dict[str, Any] | None, message: str) -> None:
    if arrays is None:
        (tmp_path / "42.npz").write_bytes(b"PK\x03\x04 cut off")
    else:
        np.savez(tmp_path / "42.npz", **arrays)
    with pytest.raises(DataError, match=message):
        RegionNpz(tmp_path).read("42")


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("42",), "42"),
        (("COCO_val2014_000000000042",), "42"),
        (("000000000042",), "42"),
        (("b.jpg", "b"), "b"),
        (("43", "c"), None),
        (("b.jpg", "photo42"), "42"),
    ],
)
def test_an_image_is_found_by_its_id_its_name_or_the_number_at_its_end(names: tuple[str, ...], found: str) -> None:
    assert find_id(names, {"42", "b"}) == found
