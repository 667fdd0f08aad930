"""All scores that need no Java's METEOR, from raw captions on, beside the official scripts (extra java-metrics)."""

from __future__ import annotations

from benchmarks.captions import draw_captions
from benchmarks.timing import arguments, print_table
from captioning.metrics import score_captions
from captioning.metrics.java import TOKENIZER_JAR, why_not
from common.errors import ConfigError, SaccadeError

TOLERANCE = 1e-6  # of scores times 100


def main(args: list[str] | None = None) -> None:
    """Compare the scores, then print the table."""
    sizes = arguments("Scores of captions, five references each.", captions=40_000, words=12, vocabulary=9000)
    sizes.set_defaults(threads=[1], repeats=1)
    options = sizes.parse_args(args)
    if reason := why_not(TOKENIZER_JAR):
        raise ConfigError(f"the official scripts cannot run: {reason}")
    drawn = draw_captions(options.captions, 6, options.words, options.vocabulary)
    captions: dict[int | str, str] = {}
    references: dict[int | str, list[str]] = {}
    for number, (first, *others) in enumerate(drawn):
        captions[number] = _sentence(first)
        references[number] = [_sentence(other) for other in others]

    def ours() -> dict[str, float]:
        return score_captions(captions, references, meteor=False, spice=False)

    def theirs() -> dict[str, float]:
        return official_scores(captions, references)

    found = ours()
    for name, score in theirs().items():
        if abs(score - found[name]) > TOLERANCE:
            raise SaccadeError(f"{name} differs: {score} by the official scripts, {found[name]} by ours")
    title = f"BLEU, ROUGE-L and CIDEr-D of {options.captions} captions against 5, tokenizer included"
    print_table(title, "captions", options.captions, options, None, {"official scripts": theirs, "Saccade": ours})


def official_scores(captions: dict[int | str, str], references: dict[int | str, list[str]]) -> dict[str, float]:
    """The scores times 100 by the classes of pycocoevalcap alone."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    result = PTBTokenizer().tokenize({key: [{"caption": text}] for key, text in captions.items()})
    truth = PTBTokenizer().tokenize({key: [{"caption": text} for text in texts] for key, texts in references.items()})
    scores = {f"BLEU-{n + 1}": score for n, score in enumerate(Bleu(4).compute_score(truth, result, verbose=0)[0])}
    for name, scorer in {"ROUGE-L": Rouge(), "CIDEr-D": Cider()}.items():
        scores[name] = scorer.compute_score(truth, result)[0]
    return {name: 100 * score for name, score in scores.items()}


def _sentence(words: list[str]) -> str:
    return f"{' '.join(words).capitalize()}."


if __name__ == "__main__":
    main()
