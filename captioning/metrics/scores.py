"""Every caption metric of a set of captions at once, in the numbers that papers print."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from captioning.metrics.bleu import bleu_of, bleu_statistics, length_ratio_of, unpenalised_bleu_of
from captioning.metrics.cider import CiderD
from captioning.metrics.meteor import meteor_of, meteor_statistics, why_no_meteor
from captioning.metrics.ngrams import LONGEST, Tokens
from captioning.metrics.rouge import rouge_l_each
from captioning.metrics.spice import spice as spice_each
from captioning.metrics.spice import why_no_spice
from captioning.metrics.tokens import NAMES, Chain, split_captions
from common.data.results import some
from common.errors import ConfigError, DataError
from common.measures import Measure
from common.statistics import Score

logger = logging.getLogger(__name__)


def score_captions(
    captions: Mapping[int | str, str],
    references: Mapping[int | str, Sequence[str]],
    meteor: bool | None = None,
    spice: bool | None = None,
    tokens: Chain = "own",
) -> dict[str, float]:
    """BLEU-1 to -4, ROUGE-L, CIDEr-D, METEOR and SPICE of one caption for each image, times 100 as papers print them.

    BLEU comes without brevity penalty, too ("BLEU-1 (no BP)"), with the length ratio that the penalty is made of.
    The arguments and the errors are those of `measure_captions`.
    """
    measures = measure_captions(captions, references, meteor, spice, tokens)
    return {name: measure.value for name, measure in measures.items()}


def measure_captions(
    captions: Mapping[int | str, str],
    references: Mapping[int | str, Sequence[str]],
    meteor: bool | None = None,
    spice: bool | None = None,
    tokens: Chain = "own",
) -> dict[str, Measure]:
    """The same scores with each image's part in them, in the order of the references, to compare two runs by.

    captions: by image id, for exactly the images that have references.
    meteor, spice: True asks for it, False leaves it out, None leaves it out (the key is absent) only where Java, the
    program or a part of it is missing or fails.
    tokens: whose tokenizer parts the words, ours or the official one, which needs Java.
    Raises DataError where ids do not fit or an image has no reference, ConfigError for what is asked for and cannot
    run.
    """
    _check(captions, references)
    hypotheses = split_captions([captions[image_id] for image_id in references], tokens)
    flat = iter(split_captions([caption for several in references.values() for caption in several], tokens))
    truths = [[next(flat) for _ in several] for several in references.values()]

    words, truth_words = _split(hypotheses, truths, None)
    measures = _bleu_measures(words, truth_words)
    measures["ROUGE-L"] = Measure(100 * rouge_l_each(*_split(hypotheses, truths, " ")))
    measures["CIDEr-D"] = Measure(100 * CiderD(truth_words).score_many(range(len(words)), words))
    if meteor is not False:
        measures |= _if_it_runs(
            "METEOR",
            lambda: Measure(meteor_statistics(words, truth_words), _percent_meteor),
            why_no_meteor(),
            required=meteor is True,
        )
    if spice is not False:
        measures |= _if_it_runs(
            "SPICE", lambda: Measure(100 * spice_each(words, truth_words)), why_no_spice(), required=spice is True
        )
    return measures


def provenance(
    scores: Mapping[str, object],
    references: Mapping[int | str, Sequence[str]],
    meteor: bool | None = None,
    spice: bool | None = None,
    tokens: Chain = "own",
) -> dict[str, str]:
    """What the scores were made with and against, and why one is absent, to be printed and saved beside them.

    meteor, spice, tokens: as they were given to `measure_captions`.
    """
    sentences = sum(map(len, references.values()))
    return {
        "tokens": NAMES[tokens],
        "BLEU, ROUGE-L, CIDEr-D": "formulas of coco-caption, pure Python; CIDEr-D idf from these references",
        "METEOR": "1.5, Java" if "METEOR" in scores else _absent(meteor, why_no_meteor()),
        "SPICE": "1.0, Java" if "SPICE" in scores else _absent(spice, why_no_spice()),
        "references": f"{sentences} captions of {len(references)} images",
    }


def _split(
    hypotheses: Sequence[str], truths: Sequence[Sequence[str]], at: str | None
) -> tuple[list[list[str]], list[list[list[str]]]]:
    """The words, parted at any white space or at this sign."""
    parts = [line.split(at) if line else [] for line in hypotheses]
    return parts, [[line.split(at) if line else [] for line in several] for several in truths]


def _bleu_measures(words: Sequence[Tokens], truths: Sequence[Sequence[Tokens]]) -> dict[str, Measure]:
    """BLEU with and without brevity penalty, and the length ratio, which is printed as it is."""
    statistics = bleu_statistics(words, truths)
    scores = {f"BLEU-{order + 1}": _percent(bleu_of, order) for order in range(LONGEST)}
    scores |= {f"BLEU-{order + 1} (no BP)": _percent(unpenalised_bleu_of, order) for order in range(LONGEST)}
    scores["length ratio"] = length_ratio_of
    return {name: Measure(statistics, score) for name, score in scores.items()}


def _percent(bleu: Callable[[Float[np.ndarray, "S 10"]], Float[np.ndarray, "S 4"]], order: int) -> Score:
    return lambda sums: 100 * bleu(sums)[:, order]


def _percent_meteor(sums: Float[np.ndarray, "S 23"]) -> Float[np.ndarray, " S"]:
    return 100 * meteor_of(sums)


def _if_it_runs(name: str, measure: Callable[[], Measure], lacks: str | None, required: bool) -> dict[str, Measure]:
    """The score, or nothing where the machine lacks what it takes or, which is worth a warning, its program fails."""
    if lacks and not required:
        return {}
    try:
        return {name: measure()}
    except ConfigError as error:
        if required:
            raise
        logger.warning("%s", error)
        return {}


def _absent(asked: bool | None, lacks: str | None) -> str:
    return "left out, as asked" if asked is False else f"not computed: {lacks or 'its Java program failed'}"


def _check(captions: Mapping[int | str, str], references: Mapping[int | str, Sequence[str]]) -> None:
    if not references:
        raise DataError("no references to score captions against: give at least one image")
    if missing := references.keys() - captions.keys():
        raise DataError(f"{len(missing)} of {len(references)} images have no caption: {some(missing)}")
    if extra := captions.keys() - references.keys():
        raise DataError(f"{len(extra)} captions are of images without references: {some(extra)}")
    for image_id, image_references in references.items():
        if not image_references:
            raise DataError(f"image {image_id!r} has no reference caption: leave it out or give it one")
