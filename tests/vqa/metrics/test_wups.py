from importlib.util import find_spec
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import ConfigError, DataError
from vqa.metrics.wups import Wups, WupTable, wordnet_similarity

WORDS = ["chair", "table", "tape_dispenser", "red"]
SIMILARITIES = np.array([[1, 0.9, 0.5, 0.1], [0.9, 1, 0.4, 0.2], [0.5, 0.4, 1, 0], [0.1, 0.2, 0, 1]], dtype=np.float32)
TABLE = WupTable(WORDS, SIMILARITIES)

lists = st.lists(st.sampled_from([*WORDS, "unknown"]), min_size=1, max_size=4)


def official(predicted: list[str], true: list[str], threshold: float) -> float:
    """min(product over p of max over t, product over t of max over p), as the paper's equation 4, by loops."""

    def near(first: str, second: str) -> float:
        if first == second:
            return 1
        known = first in WORDS and second in WORDS
        similarity = round(float(SIMILARITIES[WORDS.index(first), WORDS.index(second)]), 6) if known else 0
        return similarity if similarity >= threshold else 0.1 * similarity

    forth = back = 1.0
    for p in predicted:
        forth *= max(near(p, t) for t in true)
    for t in true:
        back *= max(near(p, t) for p in predicted)
    return min(forth, back)


@given(lists, lists, st.sampled_from([0.0, 0.45, 0.9]))
def test_wups_is_the_smaller_product_of_best_matches(predicted: list[str], true: list[str], threshold: float) -> None:
    wups = Wups(TABLE, threshold)
    assert wups(", ".join(predicted), [",".join(true)]) == pytest.approx(official(predicted, true, threshold))
    assert wups(", ".join(true), [", ".join(true)]) == 1


@given(st.lists(lists, max_size=3), st.lists(lists, max_size=3))
def test_each_prediction_is_scored_with_each_answer(predicted: list[list[str]], true: list[list[str]]) -> None:
    found = Wups(TABLE, 0.9).of_each([", ".join(each) for each in predicted], [", ".join(each) for each in true])
    expected = [official(one, other, 0.9) for one in predicted for other in true]
    np.testing.assert_allclose(found, np.reshape(expected, (len(predicted), len(true))))


@pytest.mark.parametrize(
    ("prediction", "truth", "at_0_9", "at_0"),
    [
        ("chair", "table", 0.9, 0.9),  # just at the threshold, though the float32 of 0.9 is below it
        ("chair", "tape_dispenser", 0.05, 0.5),
        ("chair", "chair, tape_dispenser", 0.05, 0.5),
        ("chair, table", "table", 0.9, 0.9),
        ("chair", "unknown", 0, 0),
        ("unknown", "unknown", 1, 1),
        ("", "chair", 0, 0),
    ],
)
def test_by_hand(prediction: str, truth: str, at_0_9: float, at_0: float) -> None:
    assert Wups(TABLE, 0.9)(prediction, [truth]) == pytest.approx(at_0_9)
    assert Wups(TABLE, 0.0)(prediction, [truth]) == pytest.approx(at_0)


def test_several_annotators_are_averaged() -> None:
    assert Wups(TABLE, 0.0)("chair", ["chair", "tape_dispenser"]) == pytest.approx(0.75)


def test_a_table_is_read_from_its_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "table.npz", words=np.array(WORDS), wup=SIMILARITIES)
    table = WupTable.load(tmp_path / "table.npz")
    assert all(table(*pair) == TABLE(*pair) for pair in product(WORDS, WORDS))


def test_a_bad_table_is_an_error_in_one_line(tmp_path: Path) -> None:
    good, cut, other = (tmp_path / name for name in ("good.npz", "cut.npz", "other.npz"))
    np.savez(good, words=np.array(WORDS[:2]), wup=SIMILARITIES)
    cut.write_bytes(good.read_bytes()[:200])
    np.savez(other, weights=SIMILARITIES)
    np.save(tmp_path / "array.npy", SIMILARITIES)
    (tmp_path / "text.npz").write_text("chair table 0.9")
    (tmp_path / "empty.npz").touch()
    for name in ("good.npz", "cut.npz", "other.npz", "array.npy", "text.npz", "empty.npz", "absent.npz"):
        with pytest.raises(DataError, match=name) as caught:
            WupTable.load(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(find_spec("nltk") is not None, reason="NLTK is installed")
def test_without_nltk_the_error_says_what_to_install() -> None:
    with pytest.raises(ConfigError, match="pip install nltk"):
        wordnet_similarity()
