import os
from pathlib import Path

import numpy as np
import pytest

from captioning.metrics.human import Judgement, agreement, agreements, read_flickr8k_expert, tau_c
from captioning.metrics.meteor import why_no_meteor
from common.errors import DataError

DATA = Path(os.environ.get("SACCADE_DATA", Path(__file__).parents[4] / "shared" / "data")) / "flickr8k"


def test_tau_c_is_that_of_all_pairs() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.integers(6, size=60).astype(float), generator.integers(1, 5, size=60).astype(float)
    signs = np.sign(first[:, None] - first) * np.sign(second[:, None] - second)
    assert tau_c(first, second) == pytest.approx((signs.sum() / 2) * 2 * 4 / (60**2 * 3))
    assert tau_c(first, -second) == pytest.approx(-tau_c(first, second))
    assert tau_c(np.repeat([1.0, 2.0], 5), np.repeat([3.0, 4.0], 5)) == 1
    assert tau_c(first, np.ones(60)) == 0


def test_each_rating_is_a_row() -> None:
    judgements = [Judgement(str(row), "", (), ratings) for row, ratings in enumerate([(1, 1, 2), (3, 4, 4), (2, 2, 2)])]
    rows = np.repeat([0.1, 0.7, 0.4], 3), np.array([1, 1, 2, 3, 4, 4, 2, 2, 2], dtype=float)
    assert agreement([0.1, 0.7, 0.4], judgements) == tau_c(*rows)


def test_candidates_among_the_references_are_left_out_and_the_metrics_agree_with_the_rest(tmp_path: Path) -> None:
    captions, judged = tmp_path / "captions.txt", tmp_path / "judged.txt"
    texts = {"x.jpg#0": "a dog runs", "x.jpg#1": "the dog", "y.jpg#0": "a red car", "z.jpg#0": "a dog runs fast"}
    captions.write_text("".join(f"{key}\t{text}\n" for key, text in texts.items()))
    judged.write_text("x.jpg\tz.jpg#0\t4\t4\t3\nx.jpg\tx.jpg#1\t4\t4\t4\nx.jpg\ty.jpg#0\t1\t1\t2\n")
    judgements = read_flickr8k_expert(judged, captions)
    assert [judgement.ratings for judgement in judgements] == [(4, 4, 3), (1, 1, 2)]
    assert judgements[0] == ("x.jpg", "a dog runs fast", ("a dog runs", "the dog"), (4, 4, 3))
    found = agreements(judgements, meteor=False, spice=False)
    assert found["ROUGE-L"] == found["BLEU-1"] == 100
    judged.write_text("x.jpg\tz.jpg#9\t4\t4\t3\n")
    with pytest.raises(DataError, match=r"has no caption z.jpg#9"):
        read_flickr8k_expert(judged, captions)
    judged.write_text("x.jpg\tz.jpg#0\t4\tgood\t3\n")
    with pytest.raises(DataError, match="which are no whole numbers"):
        read_flickr8k_expert(judged, captions)
    judged.write_text("x.jpg\tz.jpg#0\n")
    with pytest.raises(DataError, match="line 1 has not 5 fields"):
        read_flickr8k_expert(judged, captions)


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "ExpertAnnotations.txt").exists(), reason=f"no judgements in {DATA}")
def test_the_metrics_agree_with_flickr8ks_experts_as_the_papers_say() -> None:
    judgements = read_flickr8k_expert(DATA / "ExpertAnnotations.txt", DATA / "Flickr8k.token.txt")
    assert len(judgements) == 5664
    published = {"BLEU-4": 30.8, "ROUGE-L": 32.3, "METEOR": 41.8, "CIDEr-D": 43.9}
    found = agreements(judgements, meteor=why_no_meteor() is None, spice=False)
    for name in published.keys() & found.keys():
        assert found[name] == pytest.approx(published[name], abs=0.3), name
