from __future__ import annotations

import math
from collections import Counter

import pytest

from captioning.metrics import CiderD, rouge_l
from captioning.metrics.meteor import meteor, why_no_meteor
from captioning.rewards import Bleu4Reward, CiderDReward, LengthReward, MeteorReward, Reward, RougeLReward
from common.data.vocabulary import END, SPECIALS, Vocabulary
from common.errors import ConfigError

REFERENCES = [[[4, 5, 6, 7, END], [4, 5, 6, END]], [[8, 9, END]]]
CAPTIONS = [[4, 5, 6, END], [4, 5, 7, 7, 9, 8], [8, 9, END], [END], [4, 5, 6, 7, 8, 9, 4, 4]]
IMAGES = [0, 0, 1, 1, 0]
WORDS = Vocabulary([*SPECIALS, "dogs", "run", "fast", "there", "a", "house"])


def scores(reward: Reward) -> list[float]:
    reward.prepare(REFERENCES, WORDS)
    return reward.score(IMAGES, CAPTIONS).tolist()  # type: ignore[no-any-return]


def test_cider_is_that_of_the_metric_with_the_ends_as_words() -> None:
    official = CiderD(REFERENCES)
    expected = [official.score(image, caption) for image, caption in zip(IMAGES, CAPTIONS, strict=True)]
    assert scores(CiderDReward()) == pytest.approx(expected)


def smoothed_bleu(caption: list[int], references: list[list[int]]) -> float:
    """By the formula, in loops."""
    product = 1.0
    for n in range(1, 5):
        grams = Counter(tuple(caption[at : at + n]) for at in range(len(caption) - n + 1))
        matched = 0
        for gram, count in grams.items():
            most = max(sum(tuple(each[at : at + n]) == gram for at in range(len(each) - n + 1)) for each in references)
            matched += min(count, most)
        added = 0 if n == 1 else 1
        product *= (matched + added) / (max(0, len(caption) - n + 1) + added)
    nearest = min((abs(len(each) - len(caption)), len(each)) for each in references)[1]
    return min(1.0, math.exp(1 - nearest / len(caption))) * product ** (1 / 4)


def test_bleu_of_a_single_caption_is_smoothed() -> None:
    expected = [smoothed_bleu(caption, REFERENCES[image]) for image, caption in zip(IMAGES, CAPTIONS, strict=True)]
    found = scores(Bleu4Reward())
    assert found == pytest.approx(expected)
    assert found[0] == pytest.approx(1.0)
    assert found[1] > 0, "although no four words match"


def test_rouge_is_that_of_the_metric() -> None:
    expected = [rouge_l([caption], [REFERENCES[image]]) for image, caption in zip(IMAGES, CAPTIONS, strict=True)]
    assert scores(RougeLReward()) == pytest.approx(expected)


@pytest.mark.skipif(why_no_meteor() is not None, reason=f"no METEOR: {why_no_meteor()}")
def test_meteor_is_that_of_the_metric_on_the_words_alone() -> None:
    texts = [WORDS.decode(caption) for caption in CAPTIONS]
    truths = [[WORDS.decode(text) for text in REFERENCES[image]] for image in IMAGES]
    expected = [meteor([text], [truth]) for text, truth in zip(texts[:2], truths[:2], strict=True)]
    found = scores(MeteorReward())
    assert found[:2] == pytest.approx(expected)
    assert found[2:4] == [1.0, 0.0], "all words are there; none is"


def test_without_its_program_meteor_is_refused_before_the_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="METEOR cannot be computed"):
        MeteorReward().prepare(REFERENCES, WORDS)


def test_length_is_counted_in_words_from_the_nearest_reference() -> None:
    assert scores(LengthReward()) == [0.0, -2.0, 0.0, -2.0, -4.0]


@pytest.mark.parametrize("reward", [CiderDReward(), Bleu4Reward(), RougeLReward()])
def test_a_caption_that_is_cut_off_loses_what_its_end_is_worth(reward: Reward) -> None:
    reward.prepare(REFERENCES, WORDS)
    whole, cut = reward.score([0, 0], [[4, 5, 6, END], [4, 5, 6]])
    assert cut < whole
