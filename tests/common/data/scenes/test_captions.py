from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

import pytest

from common.data.scenes import DEMO, FULL, TINY, Level, named_pairs
from common.data.scenes.captions import captions
from common.data.scenes.world import Scene, SceneObject, scene_at

NUMBERS = {"two": 2, "three": 3, "four": 4, "five": 5}


def _fits(thing: SceneObject, words: str) -> bool:
    """Whether an object is what a noun phrase says, article and plural aside."""
    nouns = {thing.shape, f"{thing.shape}s", f"{thing.shape}es", "object", "objects", "a", "an"}
    return all(word in nouns | {thing.size, thing.texture, thing.colour} for word in words.split())


def _is_true(caption: str, scene: Scene) -> bool:
    """Judges a caption by the objects' boxes: written against the sentences, not against the code that makes them."""
    height, width = scene.image_size
    things = scene.objects
    if match := re.fullmatch(r"(an? .+) (left of|right of|above|below) (an? .+)", caption):
        first, relation, second = match.groups()
        axis, sign = (0 if "of" in relation else 1), (1 if relation in ("right of", "below") else -1)
        return any(
            _fits(a, first) and _fits(b, second) and sign * (a.centre[axis] - b.centre[axis]) > 0
            for a in things
            for b in things
        )
    if match := re.fullmatch(r"(an? .+) (on the left|on the right|at the top|at the bottom)", caption):
        words, place = match.groups()
        axis, sign = (0 if "on" in place else 1), (1 if place.endswith(("right", "bottom")) else -1)
        return any(_fits(a, words) and sign * (a.centre[axis] - (width, height)[axis] / 2) > 0 for a in things)
    if match := re.fullmatch(r"there are (\w+) (.+?)(?: and (an? .+))?", caption):
        number, words, other = match.groups()
        counted = sum(_fits(a, words) for a in things)
        return counted == NUMBERS[number] and (other is None or any(_fits(a, other) for a in things))
    phrases = re.split(r", | and ", caption.removeprefix("there is "))
    return all(any(_fits(a, words) for a in things) for words in phrases)


def _told(level: Level) -> Iterator[tuple[Scene, list[str]]]:
    for index in range(150):
        scene = scene_at(level, 0, "train", index)
        yield scene, captions(scene, level, random.Random(index))


@pytest.mark.parametrize("level", [TINY, DEMO, FULL])
def test_every_caption_is_true_of_its_scene(level: Level) -> None:
    for scene, texts in _told(level):
        assert len(texts) == level.captions_per_image
        assert all(_is_true(text, scene) for text in texts), (texts, scene.objects)


def test_every_named_pair_is_in_the_scene_and_most_captions_name_one() -> None:
    naming = []
    for scene, texts in _told(FULL):
        there = {(thing.colour, thing.shape) for thing in scene.objects}
        pairs = [named_pairs(text.split()) for text in texts]
        assert all(set(named) <= there for named in pairs)
        naming += [bool(named) for named in pairs]
    assert sum(naming) / len(naming) > 0.9


def test_captions_have_several_forms() -> None:
    texts = [text for _, told in _told(FULL) for text in told]
    for sign in (" left of ", " below ", " on the ", " at the ", "there are ", "there is ", ", "):
        assert sum(sign in text for text in texts) > len(texts) / 50
    assert all(len(set(told)) == FULL.captions_per_image for _, told in _told(FULL))


def test_counted_captions_count_all_of_a_kind(
    thing: Callable[..., SceneObject], scene_of: Callable[..., Scene]
) -> None:
    scene = scene_of(
        thing("small solid red circle", 10, 10, 20, 20),
        thing("small solid blue circle", 40, 10, 50, 20),
        thing("small solid green star", 70, 10, 80, 20),
    )
    counted = [text for text in captions(scene, FULL, random.Random(0)) if text.startswith("there are")]
    assert counted
    assert all(text.startswith("there are two circles and a") for text in counted)


def test_a_scene_with_little_to_tell_still_gets_its_captions(
    thing: Callable[..., SceneObject], scene_of: Callable[..., Scene]
) -> None:
    scene = scene_of(thing("small solid red circle", 45, 45, 55, 55))  # in no half, and alone
    texts = captions(scene, TINY, random.Random(0))
    assert len(texts) == TINY.captions_per_image
    assert all(named_pairs(text.split()) == [("red", "circle")] for text in texts)
