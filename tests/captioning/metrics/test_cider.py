import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import captioning.metrics.cider
from benchmarks.captions import draw_captions
from benchmarks.cider_reward import PlainCiderD
from captioning.metrics import CiderD, DocumentFrequencies, cider_d
from common.errors import DataError

DOG, CAT = ["a", "dog", "runs"], ["a", "cat", "sits"]


def test_perfect_captions_of_distinct_images_score_ten() -> None:
    captions = [["two", "people", "walk", "along", "the", "beach"], ["a", "dog", "runs", "over", "grass"]]
    assert cider_d(captions, [[caption] for caption in captions]) == pytest.approx(10)


def test_a_single_image_scores_zero_because_every_word_is_everywhere() -> None:
    assert cider_d([DOG], [[DOG]]) == 0


def test_a_caption_by_hand() -> None:
    # Of two images, "a" is in both (idf log 1 = 0), all else in one (idf log 2 for each of the n-grams).
    # "dog runs" against "a dog runs": unigrams dog, runs match: cosine 1; of the bigrams (a dog, dog runs) one matches:
    # cosine 1 / sqrt 2; no trigram; lengths of 1 and 2 bigrams.
    expected = 10 / 4 * (1 + 1 / math.sqrt(2)) * math.exp(-1 / 72)
    assert CiderD([[DOG], [CAT]]).score(0, ["dog", "runs"]) == pytest.approx(expected)


def test_repeated_words_are_clipped() -> None:
    scorer = CiderD([[DOG], [CAT]])
    once, thrice = (scorer.score(0, ["dog"] * times) for times in (1, 3))
    # The unigrams point the same way both times; clipping leaves a third of the cosine; the length fits better.
    assert thrice == pytest.approx(once / 3 * math.exp(4 / 72))


def test_words_and_ids_score_the_same() -> None:
    ids = {word: number for number, word in enumerate(sorted({*DOG, *CAT}))}
    coded = [[ids[word] for word in sentence] for sentence in (DOG, CAT)]
    in_ids = CiderD([[coded[0]], [coded[1]]]).score(0, coded[0][1:])
    assert in_ids == CiderD([[DOG], [CAT]]).score(0, DOG[1:])


def test_external_frequencies_free_a_score_from_the_set_it_is_in() -> None:
    frequencies = DocumentFrequencies.of([[DOG], [CAT], [["two", "red", "birds"], ["birds"]]])
    assert frequencies.of_ngram(("a",)) == 2
    assert frequencies.of_ngram(("birds",)) == 1  # an image counts once
    assert frequencies.of_ngram(("two", "red", "birds")) == 1
    assert frequencies.of_ngram(("red", "two")) == 0
    alone = CiderD([[DOG]], frequencies).score(0, ["dog"])
    assert alone == CiderD([[CAT], [DOG]], frequencies).score(1, ["dog"])
    # idf of dog and runs is log 3, that of a log 3/2: the cosine of the unigrams, one of three bigrams short by two
    norm = math.sqrt(2 * math.log(3) ** 2 + math.log(1.5) ** 2)
    assert alone == pytest.approx(10 / 4 * math.log(3) / norm * math.exp(-4 / 72))


words = st.lists(st.sampled_from("abcd"), max_size=7)
several = st.lists(st.lists(words, min_size=1, max_size=3), min_size=1, max_size=4)


@given(several, st.lists(st.tuples(st.integers(0, 3), words), max_size=6))
@settings(max_examples=100, deadline=None)
def test_many_at_once_are_as_the_formula_has_each(
    references: Sequence[Sequence[list[str]]], asked: Sequence[tuple[int, list[str]]]
) -> None:
    images = [image % len(references) for image, _ in asked]
    hypotheses = [hypothesis for _, hypothesis in asked]
    plain, scorer = PlainCiderD(references), CiderD(references)
    expected = [plain.score(image, hypothesis) for image, hypothesis in zip(images, hypotheses, strict=True)]
    assert scorer.score_many(images, hypotheses).tolist() == pytest.approx(expected, abs=1e-10)


def test_captions_as_long_as_peoples_are_as_the_formula_has_them_in_parts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    captions = draw_captions(60, 5, 12, 300)
    references = [each[1:] for each in captions]
    images = np.arange(120) % 60
    hypotheses = [captions[(image + number // 90) % 60][0] for number, image in enumerate(images)]
    plain = PlainCiderD(references)
    expected = [plain.score(image, hypothesis) for image, hypothesis in zip(images, hypotheses, strict=True)]
    assert max(expected) > 1
    assert CiderD(references).score_many(images, hypotheses) == pytest.approx(expected, abs=1e-10)
    monkeypatch.setattr(captioning.metrics.cider, "AT_ONCE", 7)
    assert CiderD(references).score_many(images, hypotheses) == pytest.approx(expected, abs=1e-10)


def test_words_that_only_the_frequencies_know_weigh_what_they_say() -> None:
    frequencies = DocumentFrequencies.of([[DOG], [CAT], [["a", "bird"]], [["one", "bird"]]])
    # of a caption "dog bird": dog weighs log 4, bird log 2; the reference "dog" has no pair
    cosine = math.log(4) / math.hypot(math.log(4), math.log(2))
    score = CiderD([[["dog"]]], frequencies).score(0, ["dog", "bird"])
    assert score == pytest.approx(10 / 4 * cosine * math.exp(-1 / 72))


def test_no_captions_have_no_scores() -> None:
    assert CiderD([[DOG]]).score_many([], []).shape == (0,)


def test_each_image_must_have_a_reference_and_each_caption_an_image() -> None:
    with pytest.raises(DataError, match="image number 1 has no reference"):
        CiderD([[DOG], []])
    with pytest.raises(DataError, match="no images"):
        CiderD([])
    with pytest.raises(ValueError, match="1 captions of 2 images"):
        CiderD([[DOG], [CAT]]).score_many([0, 1], [DOG])
