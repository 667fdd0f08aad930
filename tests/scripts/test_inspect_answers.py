from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scripts.conftest import Experiment, Run


@pytest.fixture
def answers(scenes: str, tmp_path: Path) -> Path:
    """Answers to the test questions: half of them right, "seven" to the others, and surer of these."""
    document = json.loads((Path(scenes) / "tiny" / "annotations_test.json").read_text(encoding="utf-8"))
    entries = [
        {
            "question_id": each["question_id"],
            "answer": each["answers"][0]["answer"] if n % 2 else "seven",
            "confidence": 0.6,
        }
        for n, each in enumerate(document["annotations"])
    ]
    entries[0]["confidence"] = 0.9
    path = tmp_path / "answers.json"
    path.write_text(json.dumps(entries))
    return path


def test_what_answers_tell_is_printed_drawn_and_written(
    run: Run, answerer: Experiment, answers: Path, tmp_path: Path
) -> None:
    blind = tmp_path / "blind.json"
    entries = json.loads(answers.read_text())
    blind.write_text(json.dumps([{"question_id": each["question_id"], "answer": "yes"} for each in entries]))
    options = ("--answers", answers, "--blind", blind, "--compare", blind, "--config", answerer.config, "--mistakes", 2)
    outcome = run("inspect_answers", *options)
    assert outcome.code == 0, outcome
    told = json.loads((tmp_path / "insight" / "insight.json").read_text())
    assert {path.name for path in (tmp_path / "insight").iterdir()} == {
        "insight.json",
        "confusion.png",
        "confidence.png",
    }
    accuracy, alone = told["accuracy"]["accuracy"], told["question only"]["accuracy"]
    assert 40 < accuracy < 60
    gap = next(line for line in outcome.out.splitlines() if line.startswith("accuracy "))
    assert gap.split()[1:] == [f"{accuracy:.2f}", f"{alone:.2f}", f"{accuracy - alone:+.2f}"]
    compared = told["compared"]["differences"]["accuracy"]
    assert compared["first"] - compared["second"] == pytest.approx(accuracy - alone)
    assert compared["low"] < accuracy - alone < compared["high"]
    alone_right = told["compared"]["McNemar"]
    assert 100 * (alone_right["only_first"] - alone_right["only_second"]) / len(entries) == pytest.approx(
        accuracy - alone
    )
    first, second = told["surest mistakes"]
    assert (first["question_id"], first["answer"], first["confidence"]) == (entries[0]["question_id"], "seven", 0.9)
    assert second["confidence"] == 0.6
    assert len(first["neighbours"]) == 3
    assert first["neighbours"][0]["likeness"] > 0.5
    assert f"{first['question']} seven (90%), truth {first['truth']}" in outcome.out
    assert "ECE, 15 bins of equal width" in told["confidences"]


def test_without_confidences_there_are_accuracies_and_confusions(
    run: Run, answerer: Experiment, answers: Path, tmp_path: Path
) -> None:
    entries = json.loads(answers.read_text())
    answers.write_text(json.dumps([{key: each[key] for key in ("question_id", "answer")} for each in entries]))
    outcome = run("inspect_answers", "--answers", answers, "--config", answerer.config, "--out", tmp_path / "out")
    assert outcome.code == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"insight.json", "confusion.png"}
    assert "question only" not in outcome.out


def test_answers_to_other_questions_are_told_in_one_line(
    run: Run, answerer: Experiment, answers: Path, tmp_path: Path
) -> None:
    absent = run("inspect_answers", "--answers", tmp_path / "absent.json", "--config", answerer.config)
    assert "absent.json cannot be read" in absent.fault
    entries = json.loads(answers.read_text())
    answers.write_text(json.dumps([{**entries[0], "question_id": "another"}, *entries[1:]]))
    fault = run("inspect_answers", "--answers", answers, "--config", answerer.config).fault
    assert f"1 of {len(entries)} questions are not answered, such as {entries[0]['question_id']}" in fault
    answers.write_text(answers.read_text().replace("0.9", "NaN"))
    fault = run("inspect_answers", "--answers", answers, "--config", answerer.config).fault
    assert "is nan, which is not in 0..1" in fault
