from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch
from PIL import Image

from common.data import loading
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.data.loading import ImageLoader, collate_boxes, mirrored, pad_texts
from common.data.records import CaptionRecord, NamedBox
from common.errors import DataError


def record(path: Path, boxes: int = 0) -> CaptionRecord:
    if not path.exists():
        Image.new("RGB", (20, 10), (10 * boxes, 0, 0)).save(path)
    corners = [(0.1 * number, 0.0, 0.1 * number + 0.2, 0.5) for number in range(boxes)]
    return CaptionRecord(path, path.name, boxes=tuple(NamedBox(each, "cube") for each in corners))


def test_texts_are_filled_up_with_zero_and_marked() -> None:
    tokens, keep = pad_texts([[[5, 6, 7], [8]], [[9, 9]]])
    assert tokens.tolist() == [[[5, 6, 7], [8, 0, 0]], [[9, 9, 0], [0, 0, 0]]]
    assert keep.tolist() == [[[True] * 3, [True, False, False]], [[True, True, False], [False] * 3]]


def test_pictures_without_texts_have_rows_of_nothing() -> None:
    tokens, keep = pad_texts([[], [[4]]])
    assert tokens.tolist() == [[[0]], [[4]]]
    assert keep.tolist() == [[[False]], [[True]]]
    assert pad_texts([[], []])[0].shape == (2, 0, 0)


def test_boxes_are_filled_up_with_empty_ones_and_marked(tmp_path: Path) -> None:
    boxes, keep = collate_boxes([record(tmp_path / "a.png", 1), record(tmp_path / "b.png", 3)])
    assert keep.tolist() == [[True, False, False], [True] * 3]
    torch.testing.assert_close(boxes[0], torch.tensor([[0, 0, 0.2, 0.5], [0] * 4, [0] * 4]))
    torch.testing.assert_close(boxes[1, 2], torch.tensor([0.2, 0, 0.4, 0.5]))


def test_a_picture_without_boxes_is_named(tmp_path: Path) -> None:
    records = [record(tmp_path / "a.png", 1), record(tmp_path / "bare.png")]
    with pytest.raises(DataError, match=r"^\S*bare\.png: no boxes are known [^\n]*grid encoder$"):
        ImageLoader(Preprocessing((8, 8)), with_boxes=True)(records)


def test_pictures_come_prepared_with_their_views_and_boxes_only_where_wanted(tmp_path: Path) -> None:
    records = [record(tmp_path / "a.png", 1), record(tmp_path / "b.png", 2)]
    batch = ImageLoader(Preprocessing((8, 8), fit="pad"))(records)
    assert batch.pixels.shape == (2, 3, 8, 8)
    torch.testing.assert_close(batch.view, torch.tensor([[0, -0.5, 1, 1.5]]).expand(2, 4))
    assert batch.boxes is None
    assert ImageLoader(Preprocessing((8, 8)), with_boxes=True)(records).boxes is not None


@pytest.mark.parametrize(("in_memory", "decoded"), [(False, 6), (True, 2)])
def test_in_memory_each_picture_is_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool, decoded: int
) -> None:
    records = [record(tmp_path / "a.png"), record(tmp_path / "b.png", 5)]
    opened: list[Path] = []
    load = loading.load_image
    monkeypatch.setattr(loading, "load_image", lambda path: (opened.append(path), load(path))[1])
    loader = ImageLoader(Preprocessing((8, 8)), in_memory=in_memory)
    first = loader(records)
    again = pickle.loads(pickle.dumps(loader))(records[::-1]) if not in_memory else loader(records[::-1])
    loader([records[0], records[1]])
    assert len(opened) == decoded
    assert torch.equal(again.pixels, first.pixels.flip(0))


def test_in_a_mirror_pictures_change_sides_with_their_boxes_and_what_the_network_sees_of_them() -> None:
    pixels = torch.arange(2 * 3 * 2 * 4, dtype=torch.uint8).view(2, 3, 2, 4)
    view, boxes = torch.tensor([[-0.25, 0.0, 1.0, 1.0]] * 2), torch.tensor([[[0.0, 0.1, 0.25, 0.5]]] * 2)
    turned = mirrored(ImageBatch(pixels, view, boxes, torch.ones(2, 1, dtype=torch.bool)), torch.tensor([False, True]))
    assert turned.boxes is not None
    assert turned.pixels[0].equal(pixels[0])
    assert [row.tolist()[::-1] for row in turned.pixels[1, 0]] == pixels[1, 0].tolist()
    assert turned.view.tolist() == [[-0.25, 0.0, 1.0, 1.0], [0.0, 0.0, 1.25, 1.0]]
    torch.testing.assert_close(turned.boxes, torch.tensor([[[0.0, 0.1, 0.25, 0.5]], [[0.75, 0.1, 1.0, 0.5]]]))


def test_a_mirroring_loader_turns_some_pictures_and_not_others(tmp_path: Path) -> None:
    Image.linear_gradient("L").rotate(90).resize((8, 8)).save(tmp_path / "grey.png")
    records = [CaptionRecord(tmp_path / "grey.png", str(number)) for number in range(20)]
    plain = ImageLoader(Preprocessing((8, 8)))(records[:1]).pixels[0]
    torch.manual_seed(0)
    found = ImageLoader(Preprocessing((8, 8)), mirror=True)(records).pixels
    kinds = {picture.equal(plain): picture for picture in found}
    assert len(kinds) == 2
    assert kinds[False].equal(plain.flip(-1))
