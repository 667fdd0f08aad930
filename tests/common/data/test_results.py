import json
from pathlib import Path
from typing import Any

import pytest

from captioning.results import write_captions
from common.errors import DataError
from vqa.results import write_answers

ANSWERS: dict[int | str, str] = {9: "café", 262148000: "沙滩 🏖", 3: ""}


def test_results_are_written_as_the_servers_read_them_and_numbers_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.json"
    write_answers(path, ANSWERS, expected=[3, 9, 262148000])
    written = json.loads(path.read_bytes())
    assert {entry["question_id"]: entry["answer"] for entry in written} == ANSWERS
    assert written[0] == {"question_id": 9, "answer": "café"}
    write_captions(path, {"dog.jpg": "A dog."})
    assert path.read_text(encoding="utf-8") == '[{"image_id": "dog.jpg", "caption": "A dog."}]'
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({9: "a"}, "1 of 2 ids are missing: 3"),
        ({9: "a", 3: "b", 4: "c"}, "1 ids are not of this data set: 4"),
        ({9: "a", 3: "\ud83c"}, "surrogate"),
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
    with pytest.raises(DataError, match=r"cannot write .*: No space left on device"):
        write_answers(path, ANSWERS)
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]
