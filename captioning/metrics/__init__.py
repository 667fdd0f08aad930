"""Caption metrics: BLEU, ROUGE-L, CIDEr-D and METEOR, in the numbers of the official COCO caption evaluation."""

from captioning.metrics.bleu import bleu
from captioning.metrics.cider import CiderD, DocumentFrequencies, cider_d
from captioning.metrics.meteor import meteor
from captioning.metrics.rouge import rouge_l
from captioning.metrics.scores import provenance, score_captions

__all__ = ["CiderD", "DocumentFrequencies", "bleu", "cider_d", "meteor", "provenance", "rouge_l", "score_captions"]
