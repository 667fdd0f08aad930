from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from common.data.readers import JoinedQuestions, QuestionShare, VQASource
from common.data.records import VQARecord
from common.errors import ConfigError, DataError
from common.training.parts import build


@dataclass(frozen=True)
class Asked(VQASource):
    """Two questions about each of so many pictures, all first questions before all second ones."""

    pictures: int

    def read(self) -> list[VQARecord]:
        names = [f"{number}.jpg" for number in range(self.pictures)] * 2
        return [VQARecord(Path(name), name, "what is it ?", number) for number, name in enumerate(names)]


def pictures(records: list[VQARecord]) -> set[str]:
    return {str(record.image) for record in records}


@pytest.mark.parametrize(("number", "every"), [(9, 3), (7, 3), (5, 2), (1, 2), (3, 10)])
def test_both_shares_are_the_source_and_no_picture_is_in_both(number: int, every: int) -> None:
    source = Asked(number)
    share, rest = QuestionShare(source, every).read(), QuestionShare(source, every, rest=True).read()
    assert sorted(share + rest, key=lambda record: int(record.question_id)) == source.read()
    assert not pictures(share) & pictures(rest)
    assert len(pictures(share)) == -(-number // every)


def test_a_share_keeps_all_questions_of_a_picture_in_the_sources_order() -> None:
    assert [record.question_id for record in QuestionShare(Asked(5), 2).read()] == [0, 2, 4, 5, 7, 9]


@pytest.mark.parametrize("every", [1, 0, -2])
def test_a_share_that_leaves_nothing_for_the_other_is_refused_when_it_is_named(every: int) -> None:
    part = {"class_path": "common.data.readers.QuestionShare", "init_args": {"source": Asked(3), "every": every}}
    with pytest.raises(ConfigError, match=rf"every 2nd picture at most: `every` must be at least 2, not {every}$"):
        build(part, VQASource)  # type: ignore[arg-type]


def test_sources_are_joined_one_after_the_other_and_no_question_may_be_in_two() -> None:
    first, second = QuestionShare(Asked(4), 2), QuestionShare(Asked(4), 2, rest=True)
    assert JoinedQuestions([first, second]).read() == first.read() + second.read()
    with pytest.raises(DataError, match="question 0 is in two of the sources: take one of them out"):
        JoinedQuestions([Asked(2), Asked(1)]).read()
