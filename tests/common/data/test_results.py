import json
from pathlib import Path
from typing import Any

import pytest

from captioning.results import read_captions, write_captions
from common.errors import DataError
from vqa.results import read_answers, write_answers

ANSWERS: dict[int | str, str] = {9: "café", 262148000: "沙滩 🏖", 3: ""}


def test_results_are_read_back_and_numbers_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    write_answers(path, ANSWERS, expected=[3, 9, 262148000])
    assert read_answers(path, expected={3, 9, 262148000}) == ANSWERS
    assert json.loads(path.read_bytes())[0] == {"question_id": 9, "answer": "café"}
    write_captions(path, {"dog.jpg": "A dog."})
    assert path.read_text(encoding="utf-8") == '[{"image_id": "dog.jpg", "caption": "A dog."}]'
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({9: "a"}, "1 of 2 ids are missing, such as 3"),
        ({9: "a", 3: "b", 4: "c"}, "1 ids are not of this data set, such as 4"),
        ({9: "a", 3: "\ud83c"}, "surrogate"),
        ({9: "a", True: "b"}, "entry 1 has question_id True: give a whole number"),
    ],
)
def test_nothing_is_written_over_an_older_file_unless_all_is_well(
    answers: dict[int | str, str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    path.write_text("older")
    with pytest.raises(DataError, match=message):
        write_answers(path, answers, expected=[3, 9])
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_older_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "results.json"
    path.write_text("older")
    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(DataError, match=r"cannot write the results file .*: No space left on device"):
        write_answers(path, ANSWERS)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not JSON"),
        (b'[{"image_id": 1, "capt', "cut off"),
        (b"[" * 100_000, "nested too deeply|not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"image_id": 1, "caption": "a"}', "must be a JSON list"),
        (b"[7]", "entry 0 needs 'image_id' and 'caption'"),
        (b'[{"image_id": 1, "answer": "a"}]', "entry 0 needs"),
        (b'[{"image_id": NaN, "caption": "a"}]', "image_id nan: give a whole number"),
        (b'[{"image_id": 1.0, "caption": "a"}]', r"image_id 1\.0: give a whole number"),
        (b'[{"image_id": 1, "caption": null}]', "image_id 1 has caption None: give a string"),
        (b'[{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]', "image_id 1 occurs twice"),
        (b"[]", "1 of 1 ids are missing, such as 1"),
    ],
)
def test_a_bad_file_is_an_error_in_one_line_that_names_it(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_captions(path, expected=[1])
    assert "captions.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        read_captions(tmp_path / "absent.json")
