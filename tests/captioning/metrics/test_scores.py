import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from captioning.metrics import provenance, score_captions
from captioning.metrics.meteor import why_no_meteor
from captioning.metrics.spice import why_no_spice
from common.errors import ConfigError, DataError

CORPUS = json.loads(Path(__file__).with_name("corpus.json").read_text(encoding="utf-8"))  # scored by the official tools
CAPTIONS = {number: image["caption"] for number, image in enumerate(CORPUS["images"])}
REFERENCES = {number: image["references"] for number, image in enumerate(CORPUS["images"])}
NO_METEOR = why_no_meteor()

needs_meteor = pytest.mark.skipif(NO_METEOR is not None, reason=str(NO_METEOR))


def officially_named(scores: dict[str, float]) -> dict[str, float]:
    """Those that the official script prints, too."""
    return {name: score for name, score in scores.items() if "no BP" not in name and name != "length ratio"}


def test_raw_captions_get_the_official_scores_times_100() -> None:
    expected = {name: score for name, score in CORPUS["scores"].items() if name != "METEOR"}
    assert officially_named(score_captions(CAPTIONS, REFERENCES, meteor=False)) == pytest.approx(expected, abs=1e-6)


@needs_meteor
@pytest.mark.slow  # Java loads METEOR's paraphrase table
def test_with_java_meteor_is_the_official_one() -> None:
    scores = score_captions(CAPTIONS, REFERENCES)
    assert officially_named(scores) == pytest.approx(CORPUS["scores"], abs=1e-6)
    assert provenance(scores, REFERENCES)["METEOR"] == "1.5, Java"


def test_without_java_meteor_is_absent_and_the_provenance_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pycocoevalcap.bleu.bleu")
    monkeypatch.setenv("PATH", "")
    scores = score_captions(CAPTIONS, REFERENCES)
    assert "METEOR" not in scores
    assert provenance(scores, REFERENCES) == {
        "tokens": "PTB-like, pure Python",
        "BLEU, ROUGE-L, CIDEr-D": "formulas of coco-caption, pure Python; CIDEr-D idf from these references",
        "METEOR": "not computed: java is not installed",
        "SPICE": f"not computed: {why_no_spice()}",
        "references": "18 captions of 9 images",
    }
    with pytest.raises(ConfigError, match="METEOR cannot be computed: java is not installed"):
        score_captions(CAPTIONS, REFERENCES, meteor=True)


@pytest.mark.parametrize("program", ["exit 1", "read line; echo '1.0 2.0'; exit 1"])
def test_a_java_that_fails_costs_meteor_only(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("pycocoevalcap.bleu.bleu")
    java = tmp_path / "java"
    java.write_text(f"#!/bin/sh\n{program}\n")
    java.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with caplog.at_level(logging.WARNING):
        scores = score_captions(CAPTIONS, REFERENCES)
    assert "METEOR's Java program failed" in caplog.text
    assert "METEOR" not in scores
    assert provenance(scores, REFERENCES)["METEOR"] == "not computed: its Java program failed"
    with pytest.raises(ConfigError, match="check `java -version`"):
        score_captions(CAPTIONS, REFERENCES, meteor=True)


def test_what_was_not_asked_for_is_told_as_such_whatever_the_machine_lacks() -> None:
    made_with = provenance({}, REFERENCES, meteor=False, spice=False)
    assert made_with["METEOR"] == made_with["SPICE"] == "left out, as asked"


def test_the_order_of_captions_does_not_matter() -> None:
    backwards = dict(reversed(CAPTIONS.items()))
    assert score_captions(backwards, REFERENCES, False) == score_captions(CAPTIONS, REFERENCES, False)


def test_captions_equal_to_their_only_reference_score_full() -> None:
    references = {"a": ["A red ball lies on the grass."], "b": ["Two blue cubes stand near a small yellow cone."]}
    scores = score_captions({name: captions[0] for name, captions in references.items()}, references, meteor=False)
    assert scores.pop("CIDEr-D") == pytest.approx(1000)
    assert scores.pop("length ratio") == pytest.approx(1)
    assert list(scores.values()) == pytest.approx([100] * 9, abs=1e-6)


def test_bleu_comes_without_brevity_penalty_too_and_the_length_ratio_between_them() -> None:
    references = {"a": ["A red ball lies on the grass."], "b": ["Two blue cubes stand near a small yellow cone."]}
    scores = score_captions({"a": "A red ball lies.", "b": "Two blue cubes stand."}, references, meteor=False)
    assert scores["length ratio"] == pytest.approx(8 / 16)
    for order in range(1, 5):
        assert scores[f"BLEU-{order} (no BP)"] == pytest.approx(100, abs=1e-6)
        assert scores[f"BLEU-{order}"] == pytest.approx(100 * math.exp(1 - 16 / 8), abs=1e-6)


@pytest.mark.parametrize(
    ("captions", "references", "message"),
    [
        ({}, {}, "at least one image"),
        ({1: "a"}, {1: ["a"], 2: ["b"], 3: ["c"]}, "2 of 3 images have no caption: 2, 3"),
        ({1: "a", "x": "b"}, {1: ["a"]}, "1 captions are of images without references: 'x'"),
        ({1: "a"}, {1: []}, "image 1 has no reference caption"),
    ],
)
def test_captions_and_references_must_be_of_the_same_images(captions: Any, references: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        score_captions(captions, references)
