"""Results files of any model, scored and compared by the script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from captioning.metrics.clip import Clip
from tests.captioning.stand_in_clip import stand_in
from tests.scripts.conftest import Experiment, Run

NAMES = "abcdefgh"


@pytest.fixture(autouse=True)
def _no_java(monkeypatch: pytest.MonkeyPatch) -> None:
    """METEOR's program takes seconds to start, and is not on every machine."""
    monkeypatch.setattr("captioning.metrics.scores._if_it_runs", lambda *_, **__: {})


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with references and two models' results."""
    annotations = [{"id": 0, "image_id": number, "caption": f"a {name} on grass"} for number, name in enumerate(NAMES)]
    (tmp_path / "references.json").write_text(json.dumps({"images": [], "annotations": annotations}))
    for file, caption in (("good", "A {} on grass."), ("poor", "a {}")):
        entries = [{"image_id": number, "caption": caption.format(name)} for number, name in enumerate(NAMES)]
        (tmp_path / f"{file}.json").write_text(json.dumps(entries))
    return tmp_path


def test_results_get_a_table_with_intervals_and_their_scores_as_json(run: Run, files: Path) -> None:
    outcome = run("score", "--results", files / "good.json", "--references", files / "references.json", "--no-meteor")
    metrics = json.loads((files / "scores.json").read_text())
    assert outcome.code == 0
    assert metrics["scores"]["BLEU-4"] == pytest.approx(100, abs=1e-4)
    assert metrics["scores"]["BLEU-4 (no BP)"] == pytest.approx(100, abs=1e-4)
    assert metrics["scores"]["length ratio"] == pytest.approx(1)
    assert metrics["results"] == str(files / "good.json")
    assert metrics["made with"]["tokens"] == "PTB-like, pure Python"
    assert metrics["made with"]["METEOR"] == "left out, as asked"
    assert metrics["description"]["words used"] == len(NAMES) + 2
    assert all(f"\n{name} " in outcome.out for name in ("BLEU-4", "BLEU-4 (no BP)", "length ratio"))
    assert "100.00  (100.00 .. 100.00)" in outcome.out


def test_two_models_results_are_compared(run: Run, files: Path) -> None:
    out = files / "compared"
    outcome = run(
        *("score", "--results", files / "good.json", "--compare", files / "poor.json"),
        *("--references", files / "references.json", "--no-meteor", "--no-spice", "--out", out),
    )
    compared = json.loads((out / "scores.json").read_text())["comparison"]
    assert outcome.code == 0
    assert compared["ROUGE-L"]["first"] > compared["ROUGE-L"]["second"]
    line = next(line for line in outcome.out.splitlines() if line.startswith("ROUGE-L") and line.endswith("*"))
    assert f"{compared['ROUGE-L']['second']:.2f}" in line


def test_results_of_one_name_are_told_apart_by_their_folders(run: Run, files: Path) -> None:
    for name in ("good", "poor"):
        (files / name).mkdir()
        (files / f"{name}.json").rename(files / name / "captions_results.json")
    mine, theirs = (files / name / "captions_results.json" for name in ("good", "poor"))
    outcome = run("score", "--results", mine, "--references", files / "references.json", "--compare", theirs)
    (heading,) = (line for line in outcome.out.splitlines() if "difference" in line)
    assert heading.split()[:2] == ["good", "poor"]


def test_the_references_and_pictures_may_be_those_of_an_experiment_which_evaluate_scores_alike(
    run: Run, captioner: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Clip, "load", lambda weights, device: stand_in())
    options = "--config", captioner.config, "--no-meteor", "--out", tmp_path, "--clip"
    assert run("evaluate", "--checkpoint", captioner.checkpoint, *options).code == 0
    expected = json.loads((tmp_path / "metrics.json").read_text())
    assert run("score", "--results", tmp_path / "captions_results.json", *options).code == 0
    metrics = json.loads((tmp_path / "scores.json").read_text())
    for name in ("CIDEr-D", "CLIPScore", "RefCLIPScore"):
        assert metrics["scores"][name] == pytest.approx(expected["scores"][name])
    assert metrics["made with"] == expected["made with"]
    assert metrics["made with"]["CLIPScore"] == "a stand-in"
    assert metrics["description"].keys() - expected["description"].keys() == {"not in the training captions"}
    assert expected["description"].keys() - metrics["description"].keys() == {"unfinished"}


def test_what_does_not_fit_is_told(run: Run, files: Path) -> None:
    entries = json.loads((files / "good.json").read_text())
    (files / "short.json").write_text(json.dumps(entries[:-2]))
    short = run("score", "--results", files / "short.json", "--references", files / "references.json")
    assert short.fault == f"{files / 'short.json'}: 2 of 8 images have no caption: 6, 7"
    neither = run("score", "--results", files / "good.json")
    assert neither.fault.startswith("give either --references")
    blind = run("score", "--results", files / "good.json", "--references", files / "references.json", "--clip")
    assert blind.fault == "--clip looks at the pictures, which --references does not tell: give --config instead"
    seed = run("score", "--results", files / "good.json", "--references", files / "references.json", "--seed", "-1")
    assert "argument --seed: must be a whole number from 0 to 4294967295, not '-1'" in seed.fault
    (files / "none.json").write_text("")
    none = run("score", "--results", files / "none.json", "--references", files / "references.json")
    assert "none.json is empty, but results are a list" in none.fault
