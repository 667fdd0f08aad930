"""A share of another source's pictures, for data sets without a validation split, and several sources as one."""

from __future__ import annotations

from dataclasses import dataclass

from common.data.readers.sources import VQASource
from common.data.records import VQARecord
from common.errors import ConfigError, DataError


@dataclass(frozen=True)
class QuestionShare(VQASource):
    """The questions about every `every`-th picture of `source`, or with `rest` about all the others.

    Both shares together are the source, and no picture is in both. Pictures are counted in the order of their names.

    Raises:
        ConfigError: `every` is less than 2, so that one share would be empty.
    """

    source: VQASource
    every: int = 10
    rest: bool = False

    def __post_init__(self) -> None:
        if self.every < 2:
            raise ConfigError(f"a share takes every 2nd picture at most: `every` must be at least 2, not {self.every}")

    def read(self) -> list[VQARecord]:
        """The records of the share, in the source's order."""
        records = self.source.read()
        chosen = set(sorted({record.image for record in records})[:: self.every])
        return [record for record in records if (record.image in chosen) != self.rest]


@dataclass(frozen=True)
class JoinedQuestions(VQASource):
    """The questions of several sources, one after the other: VQA's train and val for a model that is sent to the test
    server."""

    sources: list[VQASource]

    def read(self) -> list[VQARecord]:
        """All records; DataError where two sources have a question of the same id."""
        records: dict[int | str, VQARecord] = {}
        for source in self.sources:
            for record in source.read():
                if record.question_id in records:
                    raise DataError(f"question {record.question_id!r} is in two of the sources: take one of them out")
                records[record.question_id] = record
        return list(records.values())
