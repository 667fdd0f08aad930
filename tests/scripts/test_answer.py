from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from PIL import Image

from common.data.records import Prediction
from common.explain.overlays import draw_answer
from tests.scripts.bad_pictures import REFUSED, WORKING
from tests.scripts.conftest import Experiment, Run

QUESTION = "is there a red circle ?"


def test_each_question_is_put_to_each_picture(run: Run, answerer: Experiment, photo: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.png"
    Image.new("RGB", (20, 20), "blue").save(other)
    second = "how many squares are there ?"
    outcome = run("answer", "--checkpoint", answerer.checkpoint, "--question", QUESTION, "--question", second, tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    starts = [line.rsplit("?", 1)[0] + "?" for line in outcome.out.splitlines()]
    assert starts == [f"{path}: {question}" for path in (other, photo) for question in (QUESTION, second)]
    assert all(line.endswith("%)") for line in outcome.out.splitlines())


def test_json_lines_hold_the_answers_by_probability_and_each_question_has_its_overlay(
    run: Run, answerer: Experiment, photo: Path, tmp_path: Path
) -> None:
    questions = ("--question", QUESTION, "--question", "what colour is the circle ?")
    drawn = ("--overlay", tmp_path / "drawn")
    outcome = run("answer", "--checkpoint", answerer.checkpoint, *questions, photo, "--json", *drawn)
    told = [json.loads(line) for line in outcome.out.splitlines()]
    assert [Path(each["overlay"]).name for each in told] == ["photo-answer.png", "photo-answer-2.png"]
    for each in told:
        ranked = [each["probability"], *(other["probability"] for other in each["alternatives"])]
        assert ranked == sorted(ranked, reverse=True)
        with Image.open(each["overlay"]) as image:
            image.load()


def test_several_models_answer_together_and_the_first_one_s_look_is_drawn_as_such(
    run: Run,
    answerer: Experiment,
    fact_reader: Experiment,
    photo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Prediction] = []

    def drawing(image: Image.Image, question: str, prediction: Prediction) -> Figure:
        drawn.append(prediction)
        return draw_answer(image, question, prediction)

    monkeypatch.setattr("common.explain.overlays.draw_answer", drawing)
    both = "--checkpoint", answerer.checkpoint, "--checkpoint", fact_reader.checkpoint
    asked = "--question", "is there a red zeppelin ?", photo, "--json"
    one, other, together = (
        run("answer", *options, *asked) for options in (both[:2], both[2:], (*both, "--overlay", tmp_path / "drawn"))
    )
    assert together.err.splitlines() == [
        "note: one of the models has not learned zeppelin in 'is there a red zeppelin ?'",
        "note: one of the models answers from facts and has none: give --fact TEXT or --facts FILE",
    ]
    shares = [probabilities(outcome.out) for outcome in (one, other, together)]
    for answer, probability in shares[2].items():
        if answer in shares[0] and answer in shares[1]:
            assert probability == pytest.approx((shares[0][answer] + shares[1][answer]) / 2, abs=2e-4)
    (prediction,) = drawn
    assert prediction.maps.keys() == {"image", "question"}
    assert prediction.maps["image"].query_labels == (
        "first model: word",
        "first model: phrase",
        "first model: question",
    )


def probabilities(line: str) -> dict[str, float]:
    """Of the answers that a line of JSON tells."""
    told = json.loads(line)
    return {each["answer"]: each["probability"] for each in (told, *told["alternatives"])}


@pytest.mark.parametrize("suffix", ["pdf", "svg"])
def test_overlays_are_written_in_other_formats(
    run: Run, answerer: Experiment, photo: Path, tmp_path: Path, suffix: str
) -> None:
    options = ("--overlay", tmp_path, "--format", suffix)
    assert run("answer", "--checkpoint", answerer.checkpoint, "--question", QUESTION, photo, *options).code == 0
    assert (tmp_path / f"photo-answer.{suffix}").read_bytes()[:5] in (b"%PDF-", b"<?xml")


def test_of_a_folder_the_good_pictures_are_asked_about_and_each_bad_one_is_told_in_a_line(
    run: Run, answerer: Experiment, tmp_path: Path
) -> None:
    for name, write in WORKING.items():
        write(tmp_path / name)
    for name, (write, _) in REFUSED.items():
        write(tmp_path / name)
    outcome = run("answer", "--checkpoint", answerer.checkpoint, "--question", QUESTION, tmp_path)
    assert outcome.code == 2
    assert {Path(line.split(": ")[0]).name for line in outcome.out.splitlines()} == set(WORKING)
    assert len(outcome.err.splitlines()) == len(REFUSED)


def test_words_that_the_model_has_not_learned_are_noted_and_the_question_is_answered(
    run: Run, answerer: Experiment, photo: Path
) -> None:
    outcome = run("answer", "--checkpoint", answerer.checkpoint, "--question", "is the zeppelin brisk ?", photo)
    assert outcome.code == 0
    assert outcome.err == "note: the model has not learned zeppelin, brisk in 'is the zeppelin brisk ?'\n"
    assert outcome.out.startswith(f"{photo}: is the zeppelin brisk ?")


@pytest.mark.parametrize("question", ["", "  ", "?"])
def test_a_question_without_words_is_refused(run: Run, answerer: Experiment, photo: Path, question: str) -> None:
    outcome = run("answer", "--checkpoint", answerer.checkpoint, "--question", question, photo)
    assert outcome.fault == f"the question {question!r} has no words"
    assert outcome.out == ""


def test_a_checkpoint_of_the_other_task_names_the_script_to_use(run: Run, captioner: Experiment, photo: Path) -> None:
    outcome = run("answer", "--checkpoint", captioner.checkpoint, "--question", QUESTION, photo)
    assert outcome.fault.endswith("is a checkpoint for captioning, not for vqa: use scripts/caption.py")


def test_without_a_question_there_is_nothing_to_answer(run: Run, answerer: Experiment, photo: Path) -> None:
    outcome = run("answer", "--checkpoint", answerer.checkpoint, photo)
    assert "the following arguments are required: --question" in outcome.fault


def test_facts_of_a_file_and_of_the_command_line_are_read_and_told_with_their_weights(
    run: Run, fact_reader: Experiment, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "facts.txt").write_text("squares are blue\n\n  circles are red \n")
    facts = ("--facts", tmp_path / "facts.txt", "--fact", "there are two")
    outcome = run("answer", "--checkpoint", fact_reader.checkpoint, "--question", QUESTION, photo, *facts, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    read = json.loads(outcome.out)["facts"]
    assert [each["fact"] for each in read] == ["there are two", "squares are blue", "circles are red"]
    assert sum(each["weight"] for each in read) == pytest.approx(1, abs=1e-3)


def test_a_file_without_facts_is_no_fault_and_noted(
    run: Run, fact_reader: Experiment, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "facts.txt").write_text("\n")
    options = ("--question", QUESTION, photo, "--facts", tmp_path / "facts.txt", "--json")
    outcome = run("answer", "--checkpoint", fact_reader.checkpoint, *options, "--overlay", tmp_path / "drawn")
    note = "note: this model answers from facts and has none: give --fact TEXT or --facts FILE\n"
    assert (outcome.code, outcome.err) == (0, note)
    assert "facts" not in json.loads(outcome.out)


def test_facts_for_a_model_that_reads_none_are_noted_and_choices_are_kept_to(
    run: Run, answerer: Experiment, photo: Path
) -> None:
    options = ("--fact", "circles are red", "--choice", "Yes", "--choice", "purple", "--json")
    outcome = run("answer", "--checkpoint", answerer.checkpoint, "--question", QUESTION, photo, *options)
    assert outcome.code == 0
    assert outcome.err == "note: the facts have no effect: this model reads none\n"
    told = json.loads(outcome.out)
    assert {told["answer"], *(each["answer"] for each in told["alternatives"])} == {"Yes", "purple"}


def test_one_choice_is_none_and_neither_is_one_without_words(run: Run, answerer: Experiment, photo: Path) -> None:
    options = ("answer", "--checkpoint", answerer.checkpoint, "--question", QUESTION, photo)
    for choices in (["red"], ["red", "Red."]):
        outcome = run(*options, *(part for choice in choices for part in ("--choice", choice)))
        assert outcome.fault == "--choice 'red' alone leaves nothing to choose: give two answers at least"
    for option in ("--choice", "--fact"):
        assert run(*options, option, " ?").fault == "' ?' has no words: give some, or leave it out"


def test_a_file_of_facts_that_is_not_there_is_told(run: Run, answerer: Experiment, photo: Path) -> None:
    options = ("--question", QUESTION, photo, "--facts", "gone.txt")
    outcome = run("answer", "--checkpoint", answerer.checkpoint, *options)
    assert outcome.fault == "annotation file gone.txt cannot be read: No such file or directory"
