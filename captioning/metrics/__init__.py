"""Caption metrics: BLEU, ROUGE-L, CIDEr-D, METEOR and SPICE, in the numbers of the official COCO caption evaluation."""

from captioning.metrics.bleu import bleu
from captioning.metrics.cider import CiderD, DocumentFrequencies, cider_d
from captioning.metrics.diversity import diversity, lengths_and_repetition, self_cider
from captioning.metrics.meteor import meteor
from captioning.metrics.rouge import rouge_l
from captioning.metrics.scores import measure_captions, provenance, score_captions

__all__ = [
    "CiderD",
    "DocumentFrequencies",
    "bleu",
    "cider_d",
    "diversity",
    "lengths_and_repetition",
    "measure_captions",
    "meteor",
    "provenance",
    "rouge_l",
    "score_captions",
    "self_cider",
]
