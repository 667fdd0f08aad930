"""The words that captions are scored by, from our own tokenizer or from the official one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from captioning.metrics.java import TOKENIZER_JAR, allowed_seconds, failed, located, run, why_not
from common.data.tokenizer import tokenize
from common.errors import ConfigError

Chain: TypeAlias = Literal["own", "official"]
CHAINS: tuple[Chain, ...] = get_args(Chain)
NAMES = {"own": "PTB-like, pure Python", "official": "Stanford PTBTokenizer 3.4.1, Java"}

PUNCTUATION = frozenset(
    ["''", "'", "``", "`", "-LRB-", "-RRB-", "-LCB-", "-RCB-", ".", "?", "!", ",", ":", "-", "--", "...", ";"]
)  # as the official script has it

# The official tokenizer makes "22 3/4" one token with a no-break space, which only ROUGE-L does not split again.
_MIXED_NUMBER = re.compile(r"(?<!\S)(\d+) (?=\d+/\d+(?!\S))")


def split_captions(captions: Sequence[str], chain: Chain = "own") -> list[str]:
    """The words of each caption with single spaces between them; a mixed number has a no-break space inside.

    BLEU, CIDEr-D and METEOR part words at any white space (`split()`), ROUGE-L at plain spaces (`split(" ")`).
    Raises ConfigError where the official tokenizer is asked for and cannot run.
    """
    if chain == "official":
        return _official(captions)
    return [_MIXED_NUMBER.sub("\\1\N{NO-BREAK SPACE}", " ".join(tokenize(caption))) for caption in captions]


def _official(captions: Sequence[str]) -> list[str]:
    if reason := why_not(TOKENIZER_JAR):
        raise ConfigError(f"the official tokenizer cannot run: {reason}; leave out --tokens official")
    # Any other line break than \n within a caption would silently move the captions after it to the wrong image.
    text = "\n".join(" ".join(caption.split()) for caption in captions)
    encoding = "-Dfile.encoding=UTF-8"
    program = "edu.stanford.nlp.process.PTBTokenizer"
    command = [
        encoding,
        "-cp",
        str(located(TOKENIZER_JAR)),
        program,
        "-preserveLines",
        "-lowerCase",
        "-encoding",
        "UTF-8",
    ]
    lines = run("the tokenizer", command, text + "\n", allowed_seconds(0)).split("\n")[:-1]
    if len(lines) != len(captions):
        raise failed("the tokenizer", f"it gave {len(lines)} lines for {len(captions)} captions")
    return [" ".join(word for word in line.split(" ") if word and word not in PUNCTUATION) for line in lines]
