import math

import pytest

from captioning.metrics import CiderD, DocumentFrequencies, cider_d

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
    assert frequencies.counts["a",] == 2
    assert frequencies.counts["birds",] == 1  # an image counts once
    alone = CiderD([[DOG]], frequencies).score(0, ["dog"])
    assert alone == CiderD([[CAT], [DOG]], frequencies).score(1, ["dog"])
    # idf of dog and runs is log 3, that of a log 3/2: the cosine of the unigrams, one of three bigrams short by two
    norm = math.sqrt(2 * math.log(3) ** 2 + math.log(1.5) ** 2)
    assert alone == pytest.approx(10 / 4 * math.log(3) / norm * math.exp(-4 / 72))
