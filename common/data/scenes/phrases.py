"""Noun phrases of the scenes: making them from attributes, and finding them again in the words of a caption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from common.data.scenes.levels import ATTRIBUTES, COLOURS, SHAPES, SIZES, TEXTURES

NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five"}
ADJECTIVES = frozenset((*SIZES, *TEXTURES, *COLOURS))


def phrase(attributes: Mapping[str, str]) -> str:
    """ "small striped red circle": [size] [texture] [colour] shape, or "object" where there is no shape."""
    words = [attributes[name] for name in ATTRIBUTES if name in attributes]
    return " ".join(words if "shape" in attributes else [*words, "object"])


def with_article(words: str) -> str:
    """The phrase with its article: "an orange star"."""
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def plural(words: str) -> str:
    """The plural of a phrase: "red crosses"."""
    return words + ("es" if words.endswith("s") else "s")


_SHAPE_OF = {form: shape for shape in SHAPES for form in (shape, plural(shape))}


class Mention(NamedTuple):
    """A shape word in a text: its position, its shape (singular), and the adjectives right before it, in order."""

    position: int
    shape: str
    adjectives: tuple[str, ...]


def read_mentions(words: Sequence[str]) -> list[Mention]:
    """The objects that a text names by their shape. Commas and full stops at the words' ends are ignored."""
    bare = [word.strip(".,") for word in words]
    mentions = []
    for position, word in enumerate(bare):
        if word in _SHAPE_OF:
            first = position
            while first > 0 and bare[first - 1] in ADJECTIVES:
                first -= 1
            mentions.append(Mention(position, _SHAPE_OF[word], tuple(bare[first:position])))
    return mentions


def named_pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    """The (colour, shape) pairs that a text names, in order; of two colours in a phrase, the one next to the shape."""
    pairs = []
    for mention in read_mentions(words):
        colours = [word for word in mention.adjectives if word in COLOURS]
        if colours:
            pairs.append((colours[-1], mention.shape))
    return pairs
