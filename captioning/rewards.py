"""What a caption that the model has written is worth: numbers for whole captions, of which no gradient is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from captioning.metrics import CiderD, rouge_l
from captioning.metrics.bleu import bleu_statistics
from captioning.metrics.meteor import MeteorProgram, meteor_of
from captioning.metrics.ngrams import LONGEST
from common.data.vocabulary import END, Vocabulary

WordIds = Sequence[int]


class Reward(ABC):
    """A measure of captions that is trained for.

    Captions are word ids. Whoever has finished ends with END, as all references do, and END counts as a word: a caption
    that was cut off has none, and loses what the n-grams with it are worth.

    name: in logs. typical: what a captioner that has learned to write scores about, before `weight`.
    """

    name: str
    typical: float

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    @abstractmethod
    def prepare(self, references: Sequence[Sequence[WordIds]], vocabulary: Vocabulary) -> None:
        """Count what is to be counted of the references of each image of the training split; `vocabulary` has the
        words of all ids.
        """

    @abstractmethod
    def score(self, images: Sequence[int], captions: Sequence[WordIds]) -> Float[np.ndarray, " N"]:
        """Of each caption of the image, by number, beside it."""


class CiderDReward(Reward):
    """CIDEr-D in 0..10 with the document frequencies of the training split, as in Rennie et al. 2017."""

    name = "CIDEr-D"
    typical = 1.0

    def prepare(self, references: Sequence[Sequence[WordIds]], vocabulary: Vocabulary) -> None:
        """Index the references."""
        self.scorer = CiderD(references)

    def score(self, images: Sequence[int], captions: Sequence[WordIds]) -> Float[np.ndarray, " N"]:
        """CIDEr-D of each caption."""
        return self.scorer.score_many(images, captions)


class _AgainstReferences(Reward):
    """A reward that reads the references themselves."""

    def prepare(self, references: Sequence[Sequence[WordIds]], vocabulary: Vocabulary) -> None:
        """Keep the references."""
        self.references = references

    def _of(self, images: Sequence[int]) -> list[Sequence[WordIds]]:
        return [self.references[image] for image in images]


class Bleu4Reward(_AgainstReferences):
    """BLEU-4 in 0..1 of single captions, smoothed so that one without a matching run of four is worth something, too.

        min(1, e^{1 - r/c}) (p_1 p_2 p_3 p_4)^{1/4},  p_1 = m_1 / g_1,  p_n = (m_n + 1) / (g_n + 1) for n > 1

    for m_n matches among g_n n-grams, c words and r of the reference nearest in length (Lin and Och 2004).
    """

    name = "BLEU-4"
    typical = 0.3

    def score(self, images: Sequence[int], captions: Sequence[WordIds]) -> Float[np.ndarray, " N"]:
        """Smoothed BLEU-4 of each caption; 0 for one without words."""
        statistics = bleu_statistics(captions, self._of(images)).astype(float)
        matched, guessed = np.split(statistics[:, : 2 * LONGEST], 2, axis=1)
        words, reference = statistics[:, 2 * LONGEST :].T
        added = np.arange(LONGEST) > 0
        precisions = (matched + added) / np.maximum(guessed + added, 1)
        brevity = np.exp(np.minimum(0, 1 - reference / np.maximum(words, 1)))
        return brevity * precisions.prod(1) ** (1 / LONGEST)


class RougeLReward(_AgainstReferences):
    """ROUGE-L in 0..1 of single captions."""

    name = "ROUGE-L"
    typical = 0.5

    def score(self, images: Sequence[int], captions: Sequence[WordIds]) -> Float[np.ndarray, " N"]:
        """ROUGE-L of each caption."""
        pairs = zip(captions, self._of(images), strict=True)
        return np.array([rouge_l([caption], [references]) for caption, references in pairs])


class MeteorReward(Reward):
    """METEOR 1.5 in 0..1 of single captions, of their words alone: an end counts for nothing here.

    Its Java program (extra `java-metrics`) is started once and takes a millisecond for a caption. Recall counts for
    much more than precision, so that captions get longer, without end where nothing else is asked: beside others only.

    Raises ConfigError in `prepare` when Java or the program is missing.
    """

    name = "METEOR"
    typical = 0.25

    def prepare(self, references: Sequence[Sequence[WordIds]], vocabulary: Vocabulary) -> None:
        """Start the program, and spell the references out."""
        self.program = MeteorProgram()
        self.vocabulary = vocabulary
        self.references = [[vocabulary.decode(text) for text in of_image] for of_image in references]

    def score(self, images: Sequence[int], captions: Sequence[WordIds]) -> Float[np.ndarray, " N"]:
        """METEOR of each caption; of several that are the same it is asked once."""
        pairs = list(zip(images, map(tuple, captions), strict=True))
        asked = list(dict.fromkeys(pairs))
        hypotheses = [self.vocabulary.decode(caption) for _, caption in asked]
        found = meteor_of(self.program.statistics(hypotheses, [self.references[image] for image, _ in asked]))
        scores = dict(zip(asked, found, strict=True))
        return np.array([scores[pair] for pair in pairs])


class LengthReward(_AgainstReferences):
    """Minus the words that a caption has more or fewer than the reference nearest in length; beside others only."""

    name = "length"
    typical = 0.0

    def prepare(self, references: Sequence[Sequence[WordIds]], vocabulary: Vocabulary) -> None:
        """Count the words, without the end."""
        super().prepare(references, vocabulary)
        self.lengths = [np.array([_words(text) for text in of_image]) for of_image in references]

    def score(self, images: Sequence[int], captions: Sequence[WordIds]) -> Float[np.ndarray, " N"]:
        """Minus a number of words."""
        pairs = zip(captions, images, strict=True)
        return np.array([-float(np.abs(self.lengths[image] - _words(caption)).min()) for caption, image in pairs])


def _words(caption: WordIds) -> int:
    return sum(word != END for word in caption)
