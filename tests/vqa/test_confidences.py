from __future__ import annotations

from pathlib import Path

import pytest

from common.data.records import Prediction
from common.errors import DataError
from vqa.confidences import read_answers, write_confidences


def test_answers_are_read_as_they_were_written_with_confidences_or_without(tmp_path: Path) -> None:
    path = tmp_path / "answers.json"
    write_confidences(path, {7: Prediction("café", 0.25), "x": Prediction("no", 1.0000001)})
    answers = read_answers(path)
    assert answers.texts == {7: "café", "x": "no"}
    assert answers.confidences == {7: 0.25, "x": 1.0}
    path.write_text('[{"question_id": 7, "answer": "red"}]')
    assert (read_answers(path).texts, read_answers(path).confidences) == ({7: "red"}, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}', "holds a JSON dict, but results are a list"),
        ("[", "is not JSON"),
        ('[{"question_id": 7}]', "its first entry is not one of results"),
        ('[{"question_id": 7, "answer": "a"}, {"question_id": 7, "answer": "b"}]', "7"),
        ('[{"question_id": 7, "answer": 2}]', "the answer of question_id 7 is 2: write text"),
        (
            '[{"question_id": 7, "answer": "a", "confidence": NaN}]',
            "the confidence of question 7 is nan, which is not in",
        ),
        ('[{"question_id": 7, "answer": "a", "confidence": "high"}]', "question 7 is 'high', which is not in 0..1"),
        ('[{"question_id": 7, "answer": "a", "confidence": 1.5}]', "question 7 is 1.5, which is not in 0..1"),
        (
            '[{"question_id": 7, "answer": "a", "confidence": 1}, {"question_id": 8, "answer": "a"}]',
            "1 of 2 answers have no confidence: all or none",
        ),
    ],
)
def test_files_that_cannot_be_used_are_told_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_answers(tmp_path / "bad.json")
    assert "bad.json" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="cannot be read"):
        read_answers(tmp_path / "absent.json")
