import pytest

from captioning.metrics import score_captions
from captioning.scoring import Scoring, describe, report
from common.errors import DataError

REFERENCES = {number: [f"a {name} sits on the grass", f"the {name} is green"] for number, name in enumerate("abcdefgh")}
GOOD = {number: f"A {name} sits on the grass." for number, name in enumerate("abcdefgh")}
POOR = dict.fromkeys(REFERENCES, "something is green")
FAST = Scoring(meteor=False, spice=False)


def test_a_report_has_the_scores_with_intervals_and_what_they_were_made_with() -> None:
    found = report(GOOD, REFERENCES, training=["a b sits on the grass"], scoring=FAST)
    scores = {name: interval.value for name, interval in found.scores.items()}
    assert scores == pytest.approx(score_captions(GOOD, REFERENCES, meteor=False, spice=False))
    assert all(interval.low <= interval.value <= interval.high for interval in found.scores.values())
    assert found.description["not in the training captions"] == pytest.approx(100 * 7 / 8)
    assert found.made_with["references"] == "16 captions of 8 images"
    assert found.as_json()["scores"] == scores
    assert found.as_json()["comparison"] == {}


def test_two_models_are_compared_by_every_score() -> None:
    found = report(GOOD, REFERENCES, POOR, scoring=FAST)
    assert found.comparison.keys() == found.scores.keys()
    better = found.comparison["BLEU-4"]
    assert better.second == pytest.approx(score_captions(POOR, REFERENCES, False, False)["BLEU-4"])
    assert better.low > 0
    assert max(better.bootstrap_p, better.randomisation_p) < 0.05
    assert found.as_json()["comparison"]["BLEU-4"]["first"] == better.first


def test_both_models_must_have_captioned_the_same_images() -> None:
    with pytest.raises(DataError, match="1 of 8 images have no caption: 3"):
        report(GOOD, REFERENCES, {number: text for number, text in POOR.items() if number != 3}, scoring=FAST)


def test_captions_are_described_by_their_words() -> None:
    described = describe(["A dog, a dog.", "A cat!"], finished=[True, False])
    assert described["words used"] == 3
    assert described["words, mean"] == 3
    assert described["unfinished"] == 50
    assert "not in the training captions" not in described
