from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from common.data.box_lines import write_box_lines
from common.data.features import FeatureCache
from common.data.readers import JsonlCaptions, JsonlQuestions
from common.data.records import CaptionRecord, VQARecord
from common.errors import ConfigError
from tests.common.data.regions import BoxEncoder


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    """Pictures of 64 x 32 with 2, 0 and 1 boxes."""
    paths = [tmp_path / "photos" / name for name in ("2.png", "0.png", "inside/1.png")]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 32)).save(path)
    return paths


def test_captions_come_back_with_the_boxes_that_were_found(images: list[Path], tmp_path: Path) -> None:
    records = [CaptionRecord(path, number, ("a dog",), types=("near",)) for number, path in enumerate(images)]
    cache = FeatureCache.write(tmp_path / "cache", "boxes", images, BoxEncoder())
    absent = CaptionRecord(tmp_path / "photos" / "7.png", 7)
    count, root = write_box_lines(tmp_path / "lines.jsonl", [*records, absent], cache)
    assert (count, root) == (3, tmp_path / "photos")
    read = JsonlCaptions(str(tmp_path / "lines.jsonl"), str(root)).read()
    assert [(each.image, each.image_id, each.captions, each.types) for each in read] == [
        (each.image, each.image_id, each.captions, each.types) for each in records
    ]
    assert [[box.name for box in each.boxes] for each in read] == [["picture", "cat"], [], ["picture"]]
    assert read[0].boxes[1].corners == pytest.approx((1 / 16, 1 / 32, 5 / 16, 17 / 32), abs=1e-3)
    first = json.loads((tmp_path / "lines.jsonl").read_text().splitlines()[0])
    assert first["boxes"][1] == {"bbox": [4.0, 1.0, 16.0, 16.0], "name": "cat", "score": 0.0625}
    assert (first["image"], first["width"], first["height"]) == ("2.png", 64, 32)


def test_questions_come_back_each_with_the_boxes_of_its_picture(images: list[Path], tmp_path: Path) -> None:
    records = [VQARecord(images[0], "2", f"what {word}?", word, ("dog",), ("what",)) for word in ("runs", "sleeps")]
    cache = FeatureCache.write(tmp_path / "cache", "boxes", images[:1], BoxEncoder())
    count, root = write_box_lines(tmp_path / "lines.jsonl", records, cache)
    read = JsonlQuestions(str(tmp_path / "lines.jsonl"), str(root)).read()
    assert count == len(read) == 2
    for found, record in zip(read, records, strict=True):
        assert (found.question, found.question_id) == (record.question, record.question_id)
        assert (found.answers, found.types) == (record.answers, record.types)
        assert [box.name for box in found.boxes] == ["picture", "cat"]


def test_features_of_no_detector_have_no_names_to_write(images: list[Path], tmp_path: Path) -> None:
    cache = FeatureCache.write(tmp_path / "cache", "boxes", images, BoxEncoder(detected=False))
    with pytest.raises(ConfigError, match="boxes with names come from a detector"):
        write_box_lines(tmp_path / "lines.jsonl", [CaptionRecord(images[0], 1)], cache)
    assert not (tmp_path / "lines.jsonl").exists()
