from __future__ import annotations

import errno
import json
from collections import Counter
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from common.data.readers import CocoCaptions, VQAQuestions
from common.data.scenes import TINY, write, write_scenes
from common.data.scenes.world import scene_at
from common.errors import DataError

FEW = replace(TINY, train=4, val=2, test=2)


def _read(root: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / name).read_text())
    return content


def _files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_the_files_are_where_they_should_be(tiny_root: Path) -> None:
    names = {f"{kind}_{split}.json" for kind in ("captions", "questions", "annotations") for split in write.SPLITS}
    assert {path.name for path in tiny_root.iterdir()} == names | {"images", "scenes.json"}
    for split in write.SPLITS:
        pictures = sorted(path.name for path in (tiny_root / "images" / split).iterdir())
        assert pictures == [f"{index:06d}.png" for index in range(TINY.images(split))]


def test_captions_are_coco_with_boxes(tiny_root: Path) -> None:
    captions = _read(tiny_root, "captions_val.json")
    assert Counter(entry["image_id"] for entry in captions["annotations"]) == dict.fromkeys(range(TINY.val), 5)
    for image in captions["images"]:
        with Image.open(tiny_root / "images" / "val" / image["file_name"]) as picture:
            assert picture.size == (image["width"], image["height"])
        for box, thing in zip(image["boxes"], scene_at(TINY, 0, "val", image["id"]).objects, strict=True):
            x, y, width, height = box["bbox"]
            assert (x, y, x + width, y + height) == pytest.approx(thing.box, abs=0.02)
            assert box["name"] == thing.shape
            assert box["attributes"] == [thing.size, thing.texture, thing.colour]


def test_annotations_are_vqa_v2_with_ten_answers_and_focus(tiny_root: Path) -> None:
    questions = _read(tiny_root, "questions_train.json")["questions"]
    annotations = _read(tiny_root, "annotations_train.json")["annotations"]
    assert len(questions) == TINY.train * TINY.questions_per_image
    assert [entry["question_id"] for entry in questions] == [entry["question_id"] for entry in annotations]
    kinds = {"yes": "yes/no", "no": "yes/no", "0": "number", "1": "number", "2": "number"}
    for entry in annotations:
        answer = entry["multiple_choice_answer"]
        assert [given["answer"] for given in entry["answers"]] == [answer] * 10
        assert [given["answer_id"] for given in entry["answers"]] == list(range(1, 11))
        assert entry["answer_type"] == kinds.get(answer, "other")
        assert entry["question_type"] in TINY.question_types


def test_the_projects_readers_read_them(tiny_root: Path) -> None:
    images = str(tiny_root / "images" / "val")
    captioned = CocoCaptions(str(tiny_root / "captions_val.json"), images).read()
    assert len(captioned) == TINY.val
    assert all(len(record.captions) == 5 and len(record.boxes) == 2 for record in captioned)
    asked = VQAQuestions(
        questions=str(tiny_root / "questions_val.json"),
        annotations=str(tiny_root / "annotations_val.json"),
        images=images,
    ).read()
    assert len(asked) == TINY.val * TINY.questions_per_image
    about_colour = [record for record in asked if "colour" in record.types]
    assert about_colour
    for record in about_colour:
        (focus,) = record.focus
        assert record.answers[0] in focus.attributes


def test_no_picture_is_in_two_splits_or_twice_in_one(tiny_root: Path) -> None:
    pictures = [sha256(path.read_bytes()).hexdigest() for path in (tiny_root / "images").rglob("*.png")]
    assert len(set(pictures)) == len(pictures) == TINY.train + TINY.val + TINY.test


def test_files_do_not_depend_on_the_number_of_processes(
    tiny_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "CHUNK", 7)
    write_scenes(tmp_path / "two", TINY, workers=2)
    assert _files(tmp_path / "two") == _files(tiny_root)


def test_a_second_call_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_scenes(tmp_path / "scenes", FEW)
    monkeypatch.setattr(write, "_write_all", lambda *_: pytest.fail("written again"))
    write_scenes(tmp_path / "scenes", FEW)


def test_another_seed_gives_other_scenes(tmp_path: Path) -> None:
    write_scenes(tmp_path / "a", FEW, seed=0)
    write_scenes(tmp_path / "b", FEW, seed=1)
    a, b = _files(tmp_path / "a"), _files(tmp_path / "b")
    assert a.keys() == b.keys()
    assert all(a[name] != b[name] for name in a if name.endswith(".png"))


@pytest.mark.parametrize("other", [{"level": replace(FEW, captions_per_image=2)}, {"seed": 1}])
def test_a_folder_of_other_scenes_is_left_alone(tmp_path: Path, other: dict[str, Any]) -> None:
    write_scenes(tmp_path / "scenes", FEW)
    before = _files(tmp_path / "scenes")
    with pytest.raises(DataError, match="holds scenes of another level, seed or version"):
        write_scenes(tmp_path / "scenes", **{"level": FEW, **other})
    assert _files(tmp_path / "scenes") == before


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="not a folder of scenes"):
        write_scenes(tmp_path, FEW)
    assert _files(tmp_path) == {"thesis.txt": b"mine"}


def test_a_file_in_the_way_is_reported(tmp_path: Path) -> None:
    (tmp_path / "scenes").write_text("a file")
    with pytest.raises(DataError, match="not a folder of scenes"):
        write_scenes(tmp_path / "scenes", FEW)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    write_scenes(tmp_path / "scenes", FEW)
    assert (tmp_path / "scenes" / "scenes.json").is_file()


def test_a_full_disk_is_one_line_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(write, "describe", fail)
    with pytest.raises(DataError, match="cannot write the scenes: No space left on device"):
        write_scenes(tmp_path / "scenes", FEW)
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(write, "describe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path / "scenes", FEW)
    assert list(tmp_path.iterdir()) == []
