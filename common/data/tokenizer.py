"""Words of captions and questions, as the official COCO caption evaluation sees them, without its Java.

The official evaluation (coco-caption, Chen et al. 2015, https://arxiv.org/abs/1504.00325) runs Stanford's PTBTokenizer
with `-preserveLines -lowerCase` and drops the tokens on a list of punctuation. The rules below give the same words (in
all of Flickr8k's 40,455 captions and all of the 25,014 of COCO's val2017), oddities included: "isn't" is two words,
"tri-colored" and "and/or" are one, brackets are called -lrb- and -rrb-, "!!" is a word and "!" is not. What is known to
differ is in docs/metrics.md.
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
    "adm|al|ala|apr|ariz|assn|assoc|asst|atty|attys|aug|ave|bhd|bldg|blvd|brig|bros|calif|capt|cf|cie|cmdr|co|col|"
    "colo|comdr|conn|corp|cos|cpl|ct|dec|dept|det|dr|drs|esq|est|etc|ext|feb|fla|fri|ft|ga|gen|gov|govs|hon|inc|ind|"
    "intl|invt|jan|jr|jul|jun|kan|kans|ky|lieut|lt|ltd|maj|mar|md|messrs|mich|minn|mlle|mme|mo|mon|mont|mr|mrs|ms|"
    "msgr|mt|natl|neb|nev|nov|oct|okla|penn|pfc|plc|pres|prof|pvt|rd|rep|reps|rev|sen|sens|sep|sept|sgt|spc|sq|sr|st|"
    "ste|supt|tel|tenn|thu|thurs|treas|tue|tues|univ|va|vs|vt|wed|wis|wisc|wyo"
)
_STATES = "Ark|Del|Ill|La|Mass|Miss|Ore|Pa|Tex|Wash"  # words as well, in small letters
_BEFORE_NUMBERS = "art|ca|figs?|nos?|op|pp|prop"
_TOKEN = re.compile(
    rf"""
      https?://\S*\w/? | (?:\w{{1,64}}\.){{1,8}}(?:com|net|org|edu)\b(?:/\S*\w)?              # addresses
    | <?[a-z0-9][^\s"<>|()]{{0,63}}@(?:[^\s"<>|().]+\.)*[^\s"<>|().]+>?
    | -[lr][rcs]b- | <[!?][a-z-][^<>\s]*> | </?[a-z][\w:.-]*/?>                           # mark-up
    | &(?:amp|lt|gt|quot|apos|nbsp);
    | [<>]?[:;=][-o*']?[()dpo\\{{@|[\]](?![a-z0-9]) | [-^x=~<>']_[-^x=~<>']               # faces
    | @[a-z_]\w* | \#[^\W\d_]+
    | \(\d{{2,3}}\)\d{{3,4}}-?\d{{3,5}}                                                   # telephone numbers
    | (?:{_ABBREVIATIONS}|(?:ph|ed)\.d)\.(?!\w) | (?-i:{_STATES}|{_STATES.upper()})\.(?!\w)              # abbreviations
    | (?:{_BEFORE_NUMBERS})\.(?=\d)
    | [a-z](?:\.[a-z])*\.(?![^\W\d]) | [a-z](?:\.[a-z])+(?!\w|\.\w)
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


# A sentence may end with a single letter, "sign K. A man", where one of these words comes next; "J. Smith" is a name.
_NEXT_WORDS = (
    "A|About|According|Additionally|After|An|As|At|But|Earlier|He|Her|Here|However|If|In|It|Last|Many|More|Now|Once|One|"
    "Other|Our|She|Since|So|Some|Such|That|The|Their|Then|There|These|They|This|We|What|When|While|Yet|You"
)
_LAST_LETTER = re.compile(rf"(?<![\w.&'-])(?:[A-Za-z](?=\.\s+(?:{_NEXT_WORDS})(?!\S))|[A-Z](?=\.\s*$))\.")
_BEFORE_NUMBER = re.compile(rf"(?<!\w)((?:{_BEFORE_NUMBERS})\.)\s+(?=\d)", re.IGNORECASE)


def tokenize(text: str) -> list[str]:
    """The words of a text, in lower case and without punctuation."""
    text = text.translate(_APOSTROPHES)
    if "." in text:  # the only rules that look beyond a space
        text = _LAST_LETTER.sub(lambda found: found[0][0], _BEFORE_NUMBER.sub(r"\1", text))
    return [word for part in text.split() for word in _words(part)]


@lru_cache(maxsize=1 << 16)  # most of what stands between two spaces has been seen before: ten times as fast
def _words(part: str) -> tuple[str, ...]:
    """The words in a part of a text that has no spaces."""
    tokens = (token.lower().replace("(", "-lrb-").replace(")", "-rrb-") for token in _TOKEN.findall(part))
    return tuple(word for token in tokens for word in _REWRITTEN.get(token, (token,)))
