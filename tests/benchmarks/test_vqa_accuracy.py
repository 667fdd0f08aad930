from __future__ import annotations

import re

import pytest

from benchmarks import vqa_accuracy
from common.errors import SaccadeError


def test_the_time_of_all_questions_and_of_both_ways_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    vqa_accuracy.main(["--questions", "200", "--compared", "100", "--repeats", "1"])
    printed = capsys.readouterr().out
    assert re.search(r"^200 questions, ten answers each: \d+\.\d\d s", printed)
    assert re.search(r"^  plain +[\d.]+ us a question +1\.0 x$", printed, re.M)


def test_nothing_is_timed_when_the_scores_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vqa_accuracy, "plainly", lambda prediction, answers: 0.5)
    with pytest.raises(SaccadeError, match="the scores differ"):
        vqa_accuracy.main(["--questions", "20", "--repeats", "1"])
