"""Tokens and scores of all captions of COCO val2017 and Flickr8k beside the official tools', where both are at hand."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from pathlib import Path

import pytest

from captioning.metrics import score_captions
from captioning.metrics.java import METEOR_JAR, TOKENIZER_JAR, why_not
from captioning.metrics.tokens import split_captions

DATA = Path(os.environ.get("SACCADE_DATA", Path(__file__).parents[4] / "shared" / "data"))
SETS = {"coco": DATA / "eval_cases/captions_val2017.json", "flickr8k": DATA / "flickr8k/Flickr8k.token.txt"}
LACKING = why_not(TOKENIZER_JAR, METEOR_JAR)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1200),
    pytest.mark.filterwarnings(
        "ignore::pytest.PytestUnraisableExceptionWarning"
    ),  # the official classes leave pipes open
    pytest.mark.skipif(LACKING is not None, reason=str(LACKING)),
    pytest.mark.skipif(not all(path.exists() for path in SETS.values()), reason=f"no captions in {DATA}"),
]


def captions_of(name: str) -> dict[int | str, list[str]]:
    """The captions of each image."""
    by_image = defaultdict(list)
    if name == "coco":
        for entry in json.loads(SETS[name].read_text(encoding="utf-8"))["annotations"]:
            by_image[entry["image_id"]].append(entry["caption"])
    else:
        for line in SETS[name].read_text(encoding="utf-8").splitlines():
            key, caption = line.split("\t")
            by_image[key.partition("#")[0]].append(caption)
    return dict(by_image)


@pytest.mark.parametrize("name", SETS)
def test_all_tokens_are_the_official_ones(name: str) -> None:
    captions = [caption for several in captions_of(name).values() for caption in several]
    # What becomes of a last letter ("Avenue K.") hangs on the next caption's first word: let all have the same.
    followed = [text for caption in captions for text in (caption, "A dog.")]
    assert split_captions(captions) == split_captions(followed, "official")[::2]


@pytest.mark.parametrize("name", SETS)
def test_a_persons_caption_against_the_others_scores_as_officially(name: str) -> None:
    several = captions_of(name)
    captions = {image: each[0] for image, each in several.items()}
    references = {image: each[1:] for image, each in several.items()}
    official = official_scores(captions, references)
    scores = score_captions(captions, references, meteor=True, spice=False)
    assert {name: scores[name] for name in official} == pytest.approx(official, abs=1e-6 * 100)


def official_scores(captions: dict[int | str, str], references: dict[int | str, list[str]]) -> dict[str, float]:
    """From raw captions to scores times 100 by the official classes alone."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    result = PTBTokenizer().tokenize({image: [{"caption": text}] for image, text in captions.items()})
    truth = PTBTokenizer().tokenize(
        {image: [{"caption": each} for each in texts] for image, texts in references.items()}
    )
    scores = {f"BLEU-{n + 1}": score for n, score in enumerate(Bleu(4).compute_score(truth, result, verbose=0)[0])}
    for name, scorer in {"ROUGE-L": Rouge(), "CIDEr-D": Cider(), "METEOR": Meteor()}.items():
        scores[name] = scorer.compute_score(truth, result)[0]
    return {name: 100 * score for name, score in scores.items()}
