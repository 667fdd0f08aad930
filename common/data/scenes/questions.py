"""Questions about a scene, chosen so that their text gives the answer away as little as can be.

Every text has a fixed set of possible answers, and `Balance` asks a question only while its answer has not been given
to this text more often than the mean of the set: a model that knows the best answer to each text stays at chance.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import permutations, product

from common.data.scenes.levels import SIZES, Level
from common.data.scenes.phrases import phrase, plural, with_article
from common.data.scenes.world import Scene, SceneObject, halves, leans, relations

YES_NO = ("yes", "no")
COUNTS = ("0", "1", "2", "3")
OPPOSITES = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
SIDES = ((("left", "right"), "on the left or on the right"), (("top", "bottom"), "at the top or at the bottom"))
REFERENCES = (
    ("shape",),
    ("colour",),
    ("size",),
    ("colour", "shape"),
    ("size", "shape"),
    ("size", "colour"),
    ("texture", "shape"),
    ("texture", "colour"),
)


@dataclass(frozen=True)
class Question:
    """A question with its answer, the answers that its text may have, and the objects (indexes) that it is about."""

    kind: str
    text: str
    answer: str
    choices: tuple[str, ...]
    focus: tuple[int, ...] = ()


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _forms(level: Level, *hidden: str) -> list[tuple[str, ...]]:
    """The ways to refer to an object by attributes that differ at this level, without the `hidden` ones."""
    telling = [form for form in REFERENCES if all(len(level.values(name)) > 1 for name in form)]
    return [form for form in telling if not set(form) & set(hidden)]


def _groups(scene: Scene, form: tuple[str, ...]) -> dict[tuple[str, ...], tuple[int, ...]]:
    """The objects (indexes) by their values of the form's attributes."""
    groups: dict[tuple[str, ...], tuple[int, ...]] = {}
    for index, thing in enumerate(scene.objects):
        values = tuple(getattr(thing, name) for name in form)
        groups[values] = (*groups.get(values, ()), index)
    return groups


def _unique(scene: Scene, forms: list[tuple[str, ...]]) -> Iterator[tuple[str, int]]:
    """Phrases that fit one object of the scene only, and its index."""
    for form in forms:
        for values, found in _groups(scene, form).items():
            if len(found) == 1:
                yield _phrase(form, values), found[0]


def _phrase(form: tuple[str, ...], values: tuple[str, ...]) -> str:
    return phrase(dict(zip(form, values, strict=True)))


def _existence(scene: Scene, level: Level) -> Iterator[Question]:
    for form in (("shape",), ("colour",), ("colour", "shape")):
        groups = _groups(scene, form)
        for values in product(*(level.values(name) for name in form)):
            found = groups.get(values, ())
            text = f"is there {with_article(_phrase(form, values))}?"
            yield Question("existence", text, _yes(bool(found)), YES_NO, found)


def _count(scene: Scene, level: Level) -> Iterator[Question]:
    for form in (form for form in _forms(level) if len(form) == 1):
        groups = _groups(scene, form)
        for value in level.values(form[0]):
            found = groups.get((value,), ())
            if str(len(found)) in COUNTS:
                text = f"how many {plural(_phrase(form, (value,)))} are there?"
                yield Question("count", text, str(len(found)), COUNTS, found)


def _attribute(name: str) -> Callable[[Scene, Level], Iterator[Question]]:
    def ask(scene: Scene, level: Level) -> Iterator[Question]:
        for reference, index in _unique(scene, _forms(level, name)):
            answer = getattr(scene.objects[index], name)
            yield Question(name, f"what {name} is the {reference}?", answer, level.values(name), (index,))

    return ask


def _position(scene: Scene, level: Level) -> Iterator[Question]:
    for reference, index in _unique(scene, _forms(level)):
        for half in halves(scene.objects[index], scene.image_size):
            sides, place = next((sides, place) for sides, place in SIDES if half in sides)
            yield Question("position", f"is the {reference} {place}?", half, sides, (index,))


def _comparison(scene: Scene, level: Level) -> Iterator[Question]:
    for (a, i), (b, j) in permutations(_unique(scene, [("colour", "shape")]), 2):
        first, second = SIZES[scene.objects[i].size], SIZES[scene.objects[j].size]
        if first != second:
            yield Question("comparison", f"is the {a} larger than the {b}?", _yes(first > second), YES_NO, (i, j))
    for form in (("shape",), ("colour",)):
        for (one, those), (other, these) in permutations(_groups(scene, form).items(), 2):
            if len(those) != len(these):
                text = f"are there more {plural(_phrase(form, one))} than {plural(_phrase(form, other))}?"
                yield Question("comparison", text, _yes(len(those) > len(these)), YES_NO, those + these)


def _relation(scene: Scene, level: Level) -> Iterator[Question]:
    things = scene.objects
    for (a, i), (b, j) in permutations(_unique(scene, [("colour", "shape")]), 2):
        for found in relations(things[i], things[j]):
            yield Question("relation", f"is the {a} {found} the {b}?", "yes", YES_NO, (i, j))
            yield Question("relation", f"is the {a} {OPPOSITES[found]} the {b}?", "no", YES_NO, (i, j))


def _neighbour(scene: Scene, level: Level) -> Iterator[Question]:
    things = scene.objects
    for (reference, index), relation in product(_unique(scene, [("colour",), ("colour", "shape")]), OPPOSITES):
        only = _only_one(things, index, relation)
        if only is not None:
            text = f"what shape is {relation} the {reference}?"
            yield Question("neighbour", text, things[only].shape, level.shapes, (only, index))


def _only_one(things: tuple[SceneObject, ...], index: int, relation: str) -> int | None:
    """The one object in this relation to object `index`, where the middle of every other lies on the opposite side."""
    others = [i for i in range(len(things)) if i != index]
    there = [i for i in others if relation in relations(things[i], things[index])]
    opposite = [i for i in others if leans(things[i], OPPOSITES[relation], things[index])]
    return there[0] if len(there) == 1 and len(there) + len(opposite) == len(others) else None


_ASK: dict[str, Callable[[Scene, Level], Iterator[Question]]] = {
    "existence": _existence,
    "count": _count,
    "colour": _attribute("colour"),
    "shape": _attribute("shape"),
    "size": _attribute("size"),
    "texture": _attribute("texture"),
    "position": _position,
    "comparison": _comparison,
    "relation": _relation,
    "neighbour": _neighbour,
}


def candidates(scene: Scene, level: Level, kind: str) -> list[Question]:
    """All the questions of one type that the scene answers without doubt."""
    return list(_ASK[kind](scene, level))


class Balance:
    """Chooses the questions of one scene after the other; the choice depends on the scenes before it in the split."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.answers: defaultdict[str, Counter[str]] = defaultdict(Counter)  # by text
        self.kinds: Counter[str] = Counter()

    def _excess(self, question: Question) -> int:
        """How often the answer was given to this text, above the mean of the choices, times their number."""
        given = self.answers[question.text]
        return len(question.choices) * given[question.answer] - given.total()

    def choose(self, scene: Scene, rng: random.Random) -> list[Question]:
        """Up to `questions_per_image` questions with different texts, of the types that have had the fewest."""
        pools = {kind: candidates(scene, self.level, kind) for kind in self.level.question_types}
        for pool in pools.values():
            rng.shuffle(pool)
        chosen: list[Question] = []
        while pools and len(chosen) < self.level.questions_per_image:
            kind = min(pools, key=lambda name: self.kinds[name])
            best = min(pools[kind], key=self._excess, default=None)
            if best is None or self._excess(best) > 0:
                del pools[kind]
                continue
            pools[kind] = [question for question in pools[kind] if question.text != best.text]
            self.answers[best.text][best.answer] += 1
            self.kinds[kind] += 1
            chosen.append(best)
        rng.shuffle(chosen)
        return chosen
