from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from common.attention import Grid, VisualFeatures
from common.data.features import FeatureCache
from common.data.records import VQARecord
from common.data.scenes import SceneQuestions
from tests.scripts.bad_checkpoints import BAD
from tests.scripts.conftest import Experiment, Outcome, Run


@pytest.fixture(autouse=True)
def _no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR's program takes seconds to start, and is not on every machine."""
    monkeypatch.setattr("captioning.metrics.scores._if_it_runs", lambda *_, **__: {})


def evaluate(run: Run, experiment: Experiment, *options: object) -> Outcome:
    return run("evaluate", "--checkpoint", experiment.checkpoint, "--config", experiment.config, *options)


def results(folder: Path, kind: str, key: str) -> dict[int | str, str]:
    """What was written for an evaluation server, by id."""
    entries = json.loads((folder / f"{kind}_results.json").read_text(encoding="utf-8"))
    return {entry[key]: entry[kind.removesuffix("s")] for entry in entries}


def test_a_captioner_gets_a_table_its_scores_as_json_and_results_for_the_server(
    run: Run, captioner: Experiment, scenes: str
) -> None:
    outcome = evaluate(run, captioner)
    folder = captioner.checkpoint.parent / "evaluation-test"
    metrics = json.loads((folder / "metrics.json").read_text())
    assert outcome.code == 0
    assert metrics["split"] == "test"
    assert metrics["checkpoint"] == str(captioner.checkpoint)
    assert {"BLEU-4", "BLEU-4 (no BP)", "length ratio", "CIDEr-D"} <= metrics["scores"].keys()
    assert {"words used", "unfinished"} <= metrics["description"].keys()
    for name, value in (metrics["scores"] | metrics["description"]).items():
        assert f"{value:.2f}" in next(line for line in outcome.out.splitlines() if line.startswith(name))
    images = json.loads((Path(scenes) / "tiny" / "captions_test.json").read_text())["images"]
    assert set(results(folder, "captions", "image_id")) == {image["id"] for image in images}
    assert f"written to {folder}" in outcome.out
    assert "captions: 100%" in outcome.err  # the progress bar


def test_an_answerer_gets_accuracies_by_type_and_results_for_the_server(
    run: Run, answerer: Experiment, scenes: str, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "folder"
    outcome = evaluate(run, answerer, "--out", out, "--split", "val")
    metrics = json.loads((out / "metrics.json").read_text())
    assert outcome.code == 0
    assert {"accuracy", "accuracy/colour", "pointing", "pointing/word"} <= metrics["scores"].keys()
    questions = json.loads((Path(scenes) / "tiny" / "questions_val.json").read_text())["questions"]
    assert set(results(out, "answers", "question_id")) == {question["question_id"] for question in questions}
    assert {path.name for path in out.iterdir()} == {"metrics.json", "answers_results.json", "answers_confidences.json"}


def test_a_dialogue_s_server_gets_the_ranks_of_all_that_is_on_offer(
    run: Run, answerer: Experiment, photo: Path, tmp_path: Path
) -> None:
    photo.rename(tmp_path / "VisualDialog_val2018_000000000042.jpg")
    offered = ["red", "2", "yes", "blue", "square", "circle", "no"]
    turn = {"question": 0, "answer": 0, "gt_index": 0, "answer_options": list(range(7))}
    dialogue = {"image_id": 42, "caption": "a red circle", "dialog": [turn]}
    data = {"dialogs": [dialogue], "questions": ["what colour is it"], "answers": offered}
    (tmp_path / "dialogs.json").write_text(json.dumps({"version": "1.0", "split": "val", "data": data}))
    relevance = {"image_id": 42, "round_id": 1, "gt_relevance": [1, 0, 0, 0.5, 0, 0, 0]}
    (tmp_path / "dense.json").write_text(json.dumps([relevance]))
    files = {"dialogs": str(tmp_path / "dialogs.json"), "dense": str(tmp_path / "dense.json"), "images": str(tmp_path)}
    test = {"class_path": "common.data.readers.VisDialQuestions", "init_args": files}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"data": {"init_args": {"test": test}}}))
    outcome = evaluate(run, answerer, "--config", tmp_path / "own.yaml", "--server", "visdial", "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    (entry,) = json.loads((tmp_path / "answers_results.json").read_text())
    assert (entry["image_id"], entry["round_id"], sorted(entry["ranks"])) == (42, 1, [1, 2, 3, 4, 5, 6, 7])
    scores = json.loads((tmp_path / "metrics.json").read_text())["scores"]
    assert scores["mean rank"] == entry["ranks"][0]
    assert {"R@1", "R@5", "MRR", "NDCG"} <= scores.keys()


def test_a_model_of_boxes_is_evaluated_on_data_with_boxes(
    run: Run, captioner_of_boxes: Experiment, tmp_path: Path
) -> None:
    assert evaluate(run, captioner_of_boxes, "--out", tmp_path).code == 0
    assert "pointing" in json.loads((tmp_path / "metrics.json").read_text())["scores"]


def test_the_beam_may_be_chosen(run: Run, captioner: Experiment, tmp_path: Path) -> None:
    for beam in (1, 4):
        assert evaluate(run, captioner, "--beam", beam, "--out", tmp_path / str(beam)).code == 0
    assert results(tmp_path / "1", "captions", "image_id") != results(tmp_path / "4", "captions", "image_id")


def test_several_captioners_are_scored_together(run: Run, captioner: Experiment, tmp_path: Path) -> None:
    assert evaluate(run, captioner, "--checkpoint", captioner.checkpoint, "--out", tmp_path / "two").code == 0
    assert evaluate(run, captioner, "--out", tmp_path / "one").code == 0
    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    assert two["checkpoint"] == [str(captioner.checkpoint)] * 2
    assert two["scores"] == pytest.approx(one["scores"])


def test_several_answerers_are_scored_together(run: Run, answerer: Experiment, tmp_path: Path) -> None:
    outcome = evaluate(run, answerer, "--checkpoint", answerer.checkpoint, "--out", tmp_path / "two")
    assert outcome.code == 0, outcome.err
    assert evaluate(run, answerer, "--out", tmp_path / "one").code == 0
    assert results(tmp_path / "two", "answers", "question_id") == results(tmp_path / "one", "answers", "question_id")


def test_data_are_read_once_for_all_members_of_an_ensemble(
    run: Run, answerer: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, splits = SceneQuestions.read, []

    def counting(self: SceneQuestions) -> list[VQARecord]:
        splits.append(self)
        return read(self)

    monkeypatch.setattr(SceneQuestions, "read", counting)
    assert evaluate(run, answerer, "--checkpoint", answerer.checkpoint, "--out", tmp_path).code == 0
    assert len(splits) == 1


def test_a_cache_of_another_encoder_is_told_with_the_option_that_mends_it(
    run: Run, answerer: Experiment, photo: Path, tmp_path: Path
) -> None:
    whole = Grid(1, 1, torch.tensor([[0.0, 0.0, 1.0, 1.0]]))
    features = VisualFeatures(torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.bool), whole)
    FeatureCache.write(tmp_path / "cache", "resnet", [photo], lambda _: features)
    fault = evaluate(run, answerer, "--data.init_args.loading.cache", tmp_path / "cache").fault
    assert fault.startswith(f"the features in {tmp_path / 'cache'} are of another encoder (resnet, wanted ")
    assert fault.endswith("--data.init_args.loading.cache FOLDER, or null for none)")


def test_all_training_questions_are_evaluated_though_few_of_a_picture_are_trained_on(
    run: Run, answerer: Experiment, scenes: str, tmp_path: Path
) -> None:
    outcome = evaluate(run, answerer, "--split", "train", "--data.init_args.questions_per_image", 1, "--out", tmp_path)
    assert outcome.code == 0, outcome.err
    questions = json.loads((Path(scenes) / "tiny" / "questions_train.json").read_text())["questions"]
    assert set(results(tmp_path, "answers", "question_id")) == {question["question_id"] for question in questions}


def test_expected_wups_needs_similarities(run: Run, answerer: Experiment) -> None:
    assert "--expect 0.9 reckons with WUPS: give --similarity" in evaluate(run, answerer, "--expect", 0.9).fault


def test_expected_accuracy_needs_none_and_takes_the_likeliest(run: Run, answerer: Experiment, tmp_path: Path) -> None:
    for name, options in (("likeliest", ()), ("expected", ("--expect", "accuracy", "--weights", 3))):
        assert evaluate(run, answerer, *options, "--out", tmp_path / name).code == 0
    assert results(tmp_path / "expected", "answers", "question_id") == results(
        tmp_path / "likeliest", "answers", "question_id"
    )
    likeliest, expected = (
        json.loads((tmp_path / name / "metrics.json").read_text())["made with"] for name in ("likeliest", "expected")
    )
    assert expected == likeliest | {"expected": "accuracy", "weights": "3"}


def own_data(tmp_path: Path, photo: Path, line: str, name: str = "Captions") -> tuple[object, ...]:
    """Options for a test split of one line."""
    (tmp_path / "own.jsonl").write_text(line.replace("PHOTO", photo.name))
    source = {"annotations": str(tmp_path / "own.jsonl"), "images": str(photo.parent)}
    test = {"class_path": f"common.data.readers.Jsonl{name}", "init_args": source}
    config = tmp_path / "own.yaml"
    config.write_text(yaml.safe_dump({"data": {"init_args": {"test": test}}}))
    return "--config", config, "--out", tmp_path / "out"


def test_without_references_there_are_results_but_no_scores(
    run: Run, captioner: Experiment, photo: Path, tmp_path: Path
) -> None:
    outcome = evaluate(run, captioner, *own_data(tmp_path, photo, '{"image": "PHOTO"}'))
    assert outcome.code == 0
    assert outcome.out == f"written to {tmp_path / 'out'}; the data have no truth to score against\n"
    assert set(results(tmp_path / "out", "captions", "image_id")) == {photo.name}


def test_answers_to_people_s_own_questions_are_scored_by_type(
    run: Run, answerer: Experiment, photo: Path, tmp_path: Path
) -> None:
    line = '{"image": "PHOTO", "question": "what colour is it?", "answers": ["orange"], "types": ["odd"]}'
    similarity = tmp_path / "table.npz"
    np.savez(similarity, words=np.array(["orange"]), wup=np.ones((1, 1)))
    options = own_data(tmp_path, photo, line, "Questions")
    assert evaluate(run, answerer, *options, "--similarity", similarity).code == 0
    scores = json.loads((tmp_path / "out" / "metrics.json").read_text())["scores"]
    assert {"accuracy", "accuracy/odd", "WUPS@0.9", "WUPS@0.0"} <= scores.keys()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"image": "PHOTO", "captions": ["a dog", ""]}', "line 1: a text in 'captions' is empty"),
        ('{"image": "PHOTO", "captions": "a dog"}', "'captions' is 'a dog' where a list of texts is wanted"),
        ('{"image": "absent.jpg", "captions": ["a dog"]}', "absent.jpg, which is not there"),
        ('{"image": "PHOTO", "captions": ["a d', "is not JSON"),
        ("[]", "is a list where an object is wanted"),
        ("", "is empty"),
    ],
)
def test_data_that_cannot_be_used_is_told_in_one_line(
    run: Run, captioner: Experiment, photo: Path, tmp_path: Path, line: str, words: str
) -> None:
    assert words in evaluate(run, captioner, *own_data(tmp_path, photo, line)).fault


def test_an_empty_question_in_the_data_is_told_in_one_line(
    run: Run, answerer: Experiment, photo: Path, tmp_path: Path
) -> None:
    line = '{"image": "PHOTO", "question": " ", "answers": ["red"]}'
    fault = evaluate(run, answerer, *own_data(tmp_path, photo, line, "Questions")).fault
    assert "line 1: the question is empty" in fault


def test_a_picture_that_cannot_be_decoded_is_told_and_an_earlier_evaluation_stays(
    run: Run, captioner: Experiment, photo: Path, tmp_path: Path
) -> None:
    options = own_data(tmp_path, photo, '{"image": "PHOTO", "captions": ["a dog"]}')
    assert evaluate(run, captioner, *options).code == 0
    before = {path: path.read_text() for path in (tmp_path / "out").iterdir()}
    photo.write_text("no picture")
    outcome = evaluate(run, captioner, *options, "--data.init_args.loading.workers", 1)
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1].startswith(f"error: image {photo} is not an image of a known format")
    assert {path: path.read_text() for path in (tmp_path / "out").iterdir()} == before


def test_a_cache_needs_the_data_of_the_split_alone(run: Run, captioner: Experiment, tmp_path: Path) -> None:
    absent = {"annotations": str(tmp_path / "absent.jsonl"), "images": str(tmp_path)}
    others = {"class_path": "common.data.readers.JsonlCaptions", "init_args": absent}
    settings: dict[str, object] = {"loading": {"cache": str(tmp_path / "cache")}, "train": others, "val": others}
    (tmp_path / "cached.yaml").write_text(yaml.safe_dump({"data": {"init_args": settings}}))
    options = "--config", tmp_path / "cached.yaml", "--out", tmp_path / "out"
    assert evaluate(run, captioner, *options, "--data.init_args.test", "null").fault.startswith("data.test is not set")
    assert evaluate(run, captioner, *options).code == 0


@pytest.mark.parametrize("fault", ["missing", "cut in half", "malicious", "of another format", "of an unknown task"])
def test_checkpoints_that_cannot_be_used_are_refused_in_one_line(
    run: Run, captioner: Experiment, tmp_path: Path, fault: str
) -> None:
    make, words = BAD[fault]
    make(captioner.checkpoint, tmp_path / "bad.ckpt")
    bad = captioner._replace(checkpoint=tmp_path / "bad.ckpt")
    assert words in evaluate(run, bad).fault
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--beam", "0"], "--beam: must be a whole number from 1 on"),
        (["--similarity", "table.npz"], "--similarity is for answers"),
        (["--server", "gqa"], "--server is for answers"),
        (["--split", "dev"], "--split: invalid choice: 'dev'"),
        (["--device", "cuda:99"], "--device: cannot compute on 'cuda:99'"),
        (["--splitt", "val"], "there is no setting 'splitt'; did you mean 'split'?"),
        (["--config", "absent.yaml"], "config absent.yaml cannot be read"),
        (["--data", "null"], "no data to evaluate on"),
        (["--data.init_args.loading.batch_sise", "4"], "has no setting 'batch_sise'; did you mean 'batch_size'?"),
        (["--data.init_args.loading.batch_size", "four"], "'batch_size' must be int, not 'four'"),
        (["--data.init_args.loading.batch_size", "0"], "batch_size must be at least 1"),
        (["--data.init_args.test", "null"], "data.test is not set"),
    ],
)
def test_wrong_options_and_settings_are_told_in_one_line(
    run: Run, captioner: Experiment, options: list[str], words: str
) -> None:
    assert words in evaluate(run, captioner, *options).fault


@pytest.mark.parametrize("name", ["beam", "split", "out"])
def test_a_config_file_cannot_set_an_option_of_the_script(
    run: Run, captioner: Experiment, tmp_path: Path, name: str
) -> None:
    (tmp_path / "more.yaml").write_text(f"{name}: 3\n")
    fault = evaluate(run, captioner, "--config", tmp_path / "more.yaml").fault
    assert fault.startswith(f"{name!r} is no setting but an option of this script: ")


def test_data_of_the_other_task_are_refused(run: Run, captioner: Experiment, answerer: Experiment) -> None:
    fault = evaluate(run, captioner._replace(config=answerer.config)).fault
    assert "'vqa.data.VQAData' must name a kind of CaptioningData" in fault


def test_a_wrong_table_of_similarities_is_told_before_anything_is_computed(
    run: Run, answerer: Experiment, photo: Path
) -> None:
    fault = evaluate(run, answerer, "--similarity", photo).fault
    assert fault.startswith(f"{photo} is no table of similarities")
    assert "--beam is for captions" in evaluate(run, answerer, "--beam", 2).fault
    assert "--tokens is for captions" in evaluate(run, answerer, "--tokens", "official").fault


@pytest.mark.skipif(find_spec("nltk") is not None, reason="NLTK is installed")
def test_wordnet_s_similarities_asked_for_without_nltk_are_told_with_what_to_install(
    run: Run, answerer: Experiment
) -> None:
    assert "pip install nltk" in evaluate(run, answerer, "--similarity", "wordnet").fault


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_computed(
    run: Run, captioner: Experiment, photo: Path
) -> None:
    assert evaluate(run, captioner, "--out", photo / "in").fault.startswith(f"cannot make the folder {photo / 'in'}: ")
