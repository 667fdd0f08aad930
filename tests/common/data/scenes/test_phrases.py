from __future__ import annotations

from common.data.scenes import SHAPES, Mention, named_pairs, read_mentions
from common.data.scenes.phrases import phrase, plural, with_article


def test_attributes_come_in_a_fixed_order() -> None:
    attributes = {"shape": "circle", "colour": "red", "texture": "striped", "size": "small"}
    assert phrase(attributes) == "small striped red circle"
    assert phrase({"colour": "red"}) == "red object"
    assert with_article("orange star") == "an orange star"
    assert with_article("red star") == "a red star"


def test_every_plural_is_found_again() -> None:
    assert plural("red cross") == "red crosses"
    for shape in SHAPES:
        assert named_pairs(["two", "red", plural(shape)]) == [("red", shape)]


def test_named_pairs_by_hand() -> None:
    assert named_pairs(["a", "small", "striped", "red", "circle", "left", "of", "a", "blue", "square"]) == [
        ("red", "circle"),
        ("blue", "square"),
    ]
    assert named_pairs(["a", "red", "star,", "a", "blue", "cross", "and", "an", "orange", "heart."]) == [
        ("red", "star"),
        ("blue", "cross"),
        ("orange", "heart"),
    ]


def test_what_names_no_pair_gives_none() -> None:
    assert named_pairs(["there", "are", "two", "circles", "and", "three", "red", "objects"]) == []
    assert named_pairs(["red", "above", "a", "circle"]) == []
    assert named_pairs([]) == []


def test_of_two_colours_the_one_next_to_the_shape_counts() -> None:
    assert named_pairs(["a", "red", "blue", "circle"]) == [("blue", "circle")]


def test_mentions_tell_where_the_shape_word_is_and_what_precedes_it() -> None:
    assert read_mentions(["there", "are", "two", "red", "circles", "and", "a", "small", "star"]) == [
        Mention(4, "circle", ("red",)),
        Mention(8, "star", ("small",)),
    ]
