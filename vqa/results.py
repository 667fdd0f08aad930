"""VQA results: `[{"question_id": 42, "answer": "red"}, ...]`, one for each question of the split."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from common.data.results import write_results

KEYS = ("question_id", "answer")


def write_answers(
    path: str | Path, answers: Mapping[int | str, str], expected: Collection[int | str] | None = None
) -> None:
    """Write answers by question id; raises DataError, and writes nothing, unless the ids are the expected ones."""
    write_results(path, answers, KEYS, expected)
