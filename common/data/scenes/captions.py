"""Captions of a scene: sentences of several forms, all of them true of it."""

from __future__ import annotations

import random
from itertools import permutations

from common.data.scenes.levels import Level
from common.data.scenes.phrases import NUMBERS, phrase, plural, with_article
from common.data.scenes.world import Scene, SceneObject, halves, relations

PLACES = {"left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom"}
LISTED = 3  # the most objects that one sentence lists


def _named(thing: SceneObject, level: Level, rng: random.Random) -> str:
    """An object with its article, by colour and shape, at times by size and texture: "a small striped red circle"."""
    named = {"colour": thing.colour, "shape": thing.shape}
    if len(level.sizes) > 1 and rng.random() < 0.4:
        named["size"] = thing.size
    if thing.texture != "solid" and rng.random() < 0.6:
        named["texture"] = thing.texture
    return with_article(phrase(named))


def _listing(scene: Scene, level: Level, rng: random.Random) -> str:
    things = rng.sample(scene.objects, min(LISTED, len(scene.objects)))
    things.sort(key=lambda thing: thing.centre)
    names = [_named(thing, level, rng) for thing in things]
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _mainly(a: SceneObject, word: str, b: SceneObject) -> bool:
    """Whether the relation's axis is the one along which the centres are farther apart."""
    across = abs(a.centre[0] - b.centre[0]) > abs(a.centre[1] - b.centre[1])
    return across == (word in ("left of", "right of"))


def _related(scene: Scene, level: Level, rng: random.Random) -> str | None:
    """Two objects and how they lie to each other, along the axis on which their centres are farther apart."""
    found = [(a, word, b) for a, b in permutations(scene.objects, 2) for word in relations(a, b) if _mainly(a, word, b)]
    if not found:
        return None
    a, word, b = rng.choice(found)
    return f"{_named(a, level, rng)} {word} {_named(b, level, rng)}"


def _placed(scene: Scene, level: Level, rng: random.Random) -> str | None:
    found = [(thing, half) for thing in scene.objects for half in halves(thing, scene.image_size)]
    if not found:
        return None
    thing, half = rng.choice(found)
    return f"{_named(thing, level, rng)} {PLACES[half]}"


def _counted(scene: Scene, level: Level, rng: random.Random) -> str | None:
    """How many there are of a kind that there are several of, and one object of another kind."""
    form = rng.choice((("shape",), ("colour",), ("colour", "shape")))
    kinds = [tuple(getattr(thing, name) for name in form) for thing in scene.objects]
    several = sorted({kind for kind in kinds if kinds.count(kind) in NUMBERS})
    if not several:
        return None
    kind = rng.choice(several)
    text = f"there are {NUMBERS[kinds.count(kind)]} {plural(phrase(dict(zip(form, kind, strict=True))))}"
    others = [thing for thing, other in zip(scene.objects, kinds, strict=True) if other != kind]
    return f"{text} and {_named(rng.choice(others), level, rng)}" if others else text


def _single(scene: Scene, level: Level, rng: random.Random) -> str:
    return f"there is {_named(rng.choice(scene.objects), level, rng)}"


FORMS = (_related, _listing, _placed, _counted, _single)


def captions(scene: Scene, level: Level, rng: random.Random) -> list[str]:
    """`captions_per_image` captions: one of each form that fits the scene, then others by chance; no two are the same
    unless the scene has too little to tell."""
    told: list[str] = []
    forms = [*FORMS, *rng.choices(FORMS, k=20 * level.captions_per_image)]
    while forms and len(told) < level.captions_per_image:
        text = forms.pop(0)(scene, level, rng)
        if text is not None and text not in told:
            told.append(text)
    return told + [_single(scene, level, rng) for _ in range(level.captions_per_image - len(told))]
