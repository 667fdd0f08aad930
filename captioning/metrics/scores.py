"""Every caption metric of a set of captions at once, in the numbers that papers print."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from captioning.metrics.bleu import bleu
from captioning.metrics.cider import cider_d
from captioning.metrics.meteor import meteor as meteor_score
from captioning.metrics.meteor import why_no_meteor
from captioning.metrics.rouge import rouge_l
from common.data.tokenizer import tokenize
from common.errors import ConfigError, DataError

logger = logging.getLogger(__name__)


def score_captions(
    captions: Mapping[int | str, str],
    references: Mapping[int | str, Sequence[str]],
    meteor: bool | None = None,
) -> dict[str, float]:
    """BLEU-1 to -4, ROUGE-L, CIDEr-D and METEOR of one caption for each image, all times 100 as papers print them.

    captions: by image id, for exactly the images that have references.
    meteor: True asks for it, False leaves it out, None leaves it out (the key is absent) only where Java or its program
    is missing or fails.
    Raises DataError where ids do not fit or an image has no reference, ConfigError for METEOR asked in vain.
    """
    _check(captions, references)
    hypotheses = [tokenize(captions[image_id]) for image_id in references]
    truths = [[tokenize(caption) for caption in image_references] for image_references in references.values()]
    scores = {f"BLEU-{order}": score for order, score in enumerate(bleu(hypotheses, truths), start=1)}
    scores["ROUGE-L"] = rouge_l(hypotheses, truths)
    scores["CIDEr-D"] = cider_d(hypotheses, truths)
    if meteor is not False:
        scores |= _meteor_if_it_runs(hypotheses, truths, required=meteor is True)
    return {name: 100 * score for name, score in scores.items()}


def provenance(scores: Mapping[str, float], references: Mapping[int | str, Sequence[str]]) -> dict[str, str]:
    """What the scores were made with and against, to be printed and saved beside them."""
    sentences = sum(map(len, references.values()))
    absent = f"not computed: {why_no_meteor() or 'not asked for, or its Java program failed'}"
    return {
        "tokens": "PTB-like, pure Python",
        "BLEU, ROUGE-L, CIDEr-D": "formulas of coco-caption, pure Python; CIDEr-D idf from these references",
        "METEOR": "1.5, Java" if "METEOR" in scores else absent,
        "references": f"{sentences} captions of {len(references)} images",
    }


def _meteor_if_it_runs(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], required: bool
) -> dict[str, float]:
    try:
        return {"METEOR": meteor_score(hypotheses, references)}
    except ConfigError as error:
        if required:
            raise
        logger.info("%s", error)
        return {}


def _check(captions: Mapping[int | str, str], references: Mapping[int | str, Sequence[str]]) -> None:
    if not references:
        raise DataError("no references to score captions against: give at least one image")
    if missing := references.keys() - captions.keys():
        raise DataError(
            f"{len(missing)} of {len(references)} images have no caption, such as {min(missing, key=str)!r}"
        )
    if extra := captions.keys() - references.keys():
        raise DataError(f"{len(extra)} captions are of images without references, such as {min(extra, key=str)!r}")
    for image_id, image_references in references.items():
        if not image_references:
            raise DataError(f"image {image_id!r} has no reference caption: leave it out or give it one")
