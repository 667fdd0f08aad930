from __future__ import annotations

import pytest

from captioning.objectives import CrossEntropy
from tests.captioning.objectives.cases import Answering, all_regions, given, given_to, valid


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_cross_entropy_is_the_mean_over_words_with_smoothing_over_the_whole_vocabulary(smoothing: float) -> None:
    keep = valid([3, 1], [2, 0])
    output, targets = given(keep)
    expected = 0.0
    for row, target in zip(output.log_probs, targets[keep], strict=True):
        for word, log_prob in enumerate(row.tolist()):
            share = (1 - smoothing) * (word == target) + smoothing / 5
            expected -= share * log_prob / 6
    loss = CrossEntropy(smoothing, weight=0.5)(given_to(output, targets, keep, all_regions(2)))
    assert {name: term.item() for name, term in loss.items()} == {"cross_entropy": pytest.approx(0.5 * expected)}


def test_the_decoder_runs_once_for_all_objectives_and_not_at_all_for_none() -> None:
    keep = valid([3, 1], [2, 0])
    batch = given_to(*given(keep), keep, all_regions(2))
    assert isinstance(batch.decoder, Answering)
    assert batch.decoder.asked == 0
    CrossEntropy()(batch)
    CrossEntropy(0.1)(batch)
    assert batch.decoder.asked == 1
