"""BLEU, ROUGE-L and CIDEr-D against the official implementation, pycocoevalcap, on random corpora and on edge cases."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captioning.metrics import bleu, cider_d, rouge_l

Corpus = list[tuple[list[str], list[list[str]]]]  # (hypothesis, references) of each image

sentences = st.lists(st.sampled_from(["a", "red", "dog", "on", "é", "沙滩", "!!"]), max_size=9)
corpora = st.lists(st.tuples(sentences, st.lists(sentences, min_size=1, max_size=3)), min_size=1, max_size=5)

EDGES: dict[str, Corpus] = {
    "one image": [(["a", "dog", "runs"], [["a", "dog", "runs"]])],
    "empty hypothesis": [([], [["a", "dog"]]), (["a", "dog"], [["a", "dog"]])],
    "nothing but empty hypotheses": [([], [["a", "dog"]]), ([], [["a"]])],
    "empty reference": [(["a"], [[]]), ([], [[], ["a"]])],
    "one word": [(["dog"], [["a", "dog"]]), (["cat"], [["cat"]])],
    "no match at all": [(["x", "y", "z"], [["a", "dog"]]), (["u"], [["b"]])],
    "very long": [(["a", "b", "c"] * 700, [["a", "c", "b"] * 600]), (["d"] * 900, [["d", "e"] * 40])],
}


def assert_as_official(corpus: Corpus) -> None:
    official_bleu = pytest.importorskip("pycocoevalcap.bleu.bleu").Bleu(4)
    official_rouge = pytest.importorskip("pycocoevalcap.rouge.rouge").Rouge()
    official_cider = pytest.importorskip("pycocoevalcap.cider.cider").Cider()
    hypotheses, references = [hypothesis for hypothesis, _ in corpus], [references for _, references in corpus]
    result = {image: [" ".join(tokens)] for image, tokens in enumerate(hypotheses)}
    truth = {image: [" ".join(tokens) for tokens in several] for image, several in enumerate(references)}

    assert bleu(hypotheses, references) == pytest.approx(official_bleu.compute_score(truth, result, verbose=0)[0])
    assert rouge_l(hypotheses, references) == pytest.approx(official_rouge.compute_score(truth, result)[0])
    if any(tokens for several in references for tokens in several):  # the official CIDEr fails where there are no words
        assert cider_d(hypotheses, references) == pytest.approx(official_cider.compute_score(truth, result)[0])


@given(corpora)
@settings(max_examples=150, deadline=None)
def test_random_corpora_score_as_officially(corpus: Corpus) -> None:
    assert_as_official(corpus)


@pytest.mark.parametrize("corpus", EDGES.values(), ids=EDGES.keys())
def test_edge_cases_score_as_officially(corpus: Corpus) -> None:
    assert_as_official(corpus)
