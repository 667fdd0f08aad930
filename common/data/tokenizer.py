"""Words of captions and questions, as the official COCO caption evaluation sees them, without its Java.

The official evaluation (coco-caption, Chen et al. 2015, https://arxiv.org/abs/1504.00325) runs Stanford's PTBTokenizer
with `-preserveLines -lowerCase` and drops the tokens on a list of punctuation. The rules below give the same words (in
all of Flickr8k's 40,455 captions, and in all but 6 of the 25,014 of COCO's val2017), oddities included: "isn't" is two
words, "tri-colored" and "and/or" are one, brackets are called -lrb- and -rrb-, "!!" is a word and "!" is not.
"""

from __future__ import annotations

import re
from functools import lru_cache

_APOSTROPHES = str.maketrans({"\u2019": "'", "\u2018": "`", "\u00ad": None, "\u2010": "-", "\u2011": "-"})

_ALNUM = r"[^\W_\u00b2\u00b3\u00b9\u00bc-\u00be]"  # without raised digits and fractions
_MARKS = r"[\u0300-\u036f\u0900-\u0963\u0966-\u109f]"  # accents and vowel signs, which \w leaves out
_WORD = rf"(?:[dol]')?{_ALNUM}+(?:{_MARKS}+{_ALNUM}*)*"
_NAME = rf"{_ALNUM}+(?:-{_ALNUM}+){{0,2}}"
_ABBREVIATIONS = (
    "adm|ala|apr|ariz|ark|atty|aug|ave|bldg|blvd|brig|bros|calif|capt|cmdr|co|col|colo|conn|corp|cpl|ct|dec|dept|det|dr|"
    "drs|esq|etc|feb|fla|fri|ft|gen|gov|hon|inc|jan|jr|kan|ky|lieut|lt|ltd|maj|mass|messrs|mich|minn|miss|mo|mon|mr|mrs|"
    "ms|mt|nov|oct|okla|pa|pfc|pres|prof|pvt|rd|rep|rev|sen|sep|sept|sgt|sr|st|ste|supt|tenn|tex|thu|thurs|tue|tues|va|"
    "vs|wed"
)
_TOKEN = re.compile(
    rf"""
      https?://\S*\w/? | (?:\w{{1,64}}\.){{1,8}}(?:com|net|org|edu)\b(?:/\S*\w)?              # addresses
    | [\w.+-]{{1,64}}@\w+(?:\.\w+)+
    | -[lr][rcs]b- | <[!?/]?[a-z][^<>\s]*>                                                # mark-up
    | &(?:amp|lt|gt|quot|apos|nbsp);
    | [<>]?[:;=][-o*']?[()dpo\\{{@|[\]](?![a-z])                                          # faces
    | [@\#][^\W\d]\w*
    | (?:{_ABBREVIATIONS}|ph\.d)\.(?!\w)                                                # abbreviations
    | [a-z](?:\.[a-z])*\.(?!\w) | [a-z](?:\.[a-z])+(?!\w|\.\w)
    | [-+]?\d*(?:[.:,]\d+)+ | [-+]\d+                                                     # numbers
    | n't(?!\w) | [a-z]+?(?=n't(?!\w))                                                    # contractions
    | (?<!\w)'\d\ds?(?!\w) | 'n' | '(?:[sdmn]|re|ve|ll|em|til|till|cause)(?!\w) | '(?:tis|twas)(?!\w)
    | y'(?=all\b|know\b) | (?:ma'am|ol'|c'mon|s'mores|[a-z]*[aeiouy]'[aeiou][a-z]*)(?!\w)
    | (?-i:[A-Z]+(?:[+&][A-Z]+)+ | [A-Z]*\$)                                              # words
    | c\+\+ | [cf]\#
    | {_NAME}(?:/{_NAME}){{1,2}}
    | [^\W\d_]\w*(?:[.!?][^\W\d_]\w*)+
    | {_WORD}(?:[-_]{_WORD})*
    | [!?]+ | \*+ | \#+ | << | >> | _+                                                    # signs
    | [^\s\w.,;:'"`\u200b\u201c\u201d\u2013\u2014\u2026\u00ab\u00bb\u2039\u203a\ufe0f\U00010000-\U0010ffff-]
    | [\u00b2\u00b3\u00b9\u00bc-\u00be]
    """,
    re.IGNORECASE | re.VERBOSE,
)
_REWRITTEN = {
    "!": (), "?": (), "&quot;": (), "&apos;": (), "&nbsp;": (), "&amp;": ("&",), "&lt;": ("<",), "&gt;": (">",),
    "{": ("-lcb-",), "}": ("-rcb-",), "[": ("-lsb-",), "]": ("-rsb-",),
    "\u00a3": ("#",), "\u20ac": ("$",), "\u00a2": ("cents",),
    "\u00bc": ("1/4",), "\u00bd": ("1/2",), "\u00be": ("3/4",),
    "cannot": ("can", "not"), "gonna": ("gon", "na"), "gotta": ("got", "ta"), "wanna": ("wan", "na"),
    "lemme": ("lem", "me"), "gimme": ("gim", "me"), "'tis": ("'t", "is"), "'twas": ("'t", "was"),
}  # fmt: skip


def tokenize(text: str) -> list[str]:
    """The words of a text, in lower case and without punctuation."""
    return [word for part in text.translate(_APOSTROPHES).split() for word in _words(part)]


@lru_cache(maxsize=1 << 16)  # most of what stands between two spaces has been seen before: ten times as fast
def _words(part: str) -> tuple[str, ...]:
    """The words in a part of a text that has no spaces. None of the rules looks beyond a space."""
    tokens = (token.lower().replace("(", "-lrb-").replace(")", "-rrb-") for token in _TOKEN.findall(part))
    return tuple(word for token in tokens for word in _REWRITTEN.get(token, (token,)))
