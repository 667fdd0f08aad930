"""What a scene is made of: objects with a place, and which of them lies left of, above, ... which."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

from common.data.scenes.levels import SIZES, Level
from common.errors import ConfigError

Point = tuple[float, float]
Box = tuple[float, float, float, float]

ATTEMPTS = 200  # at placing the objects before a level is called too crowded
THEMES = (("shape", 0.25), ("colour", 0.25))  # how often the objects share an attribute, so that there is much to count
JOINING = 0.85  # how likely each object is to join in the theme


@dataclass(frozen=True)
class SceneObject:
    """An object; `outline` and `box` (x0, y0, x1, y1) are in pixels, x to the right and y down."""

    size: str
    texture: str
    colour: str
    shape: str
    outline: tuple[Point, ...]
    box: Box

    @property
    def centre(self) -> Point:
        """The middle of the box in pixels."""
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True)
class Scene:
    """Objects, the farthest first, on a background; `paint` seeds what is left to chance in drawing them."""

    image_size: tuple[int, int]
    objects: tuple[SceneObject, ...]
    background: str
    strokes: int
    paint: int


def _regular(corners: int, radius: float, start: float, inner: float | None = None) -> tuple[Point, ...]:
    """A regular polygon, or a star where every second corner lies at `inner`; `start` in turns from the right."""
    radii = [radius] if inner is None else [radius, inner]
    count = corners * len(radii)
    angles = [math.tau * (start + i / count) for i in range(count)]
    return tuple(
        (radii[i % len(radii)] * math.cos(a), radii[i % len(radii)] * math.sin(a)) for i, a in enumerate(angles)
    )


def _heart() -> tuple[Point, ...]:
    angles = [math.tau * i / 40 for i in range(40)]
    return tuple(
        (
            0.031 * 16 * math.sin(a) ** 3,
            -0.031 * (2 + 13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)),
        )
        for a in angles
    )


def _cross(arm: float, half_width: float) -> tuple[Point, ...]:
    quarter = ((half_width, -arm), (half_width, -half_width), (arm, -half_width))
    return tuple((x * c - y * s, x * s + y * c) for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1)) for x, y in quarter)


# Corners of each shape about (0, 0) for a diameter of 1; corners reach a little farther, so that areas look alike.
OUTLINES: dict[str, tuple[Point, ...]] = {
    "circle": _regular(48, 0.5, 0.0),
    "square": _regular(4, 0.64, 0.125),
    "triangle": _regular(3, 0.62, -0.25),
    "star": _regular(5, 0.62, -0.25, inner=0.27),
    "cross": _cross(0.52, 0.17),
    "heart": _heart(),
}


def outline_of(shape: str, diameter: float, turn: float) -> list[Point]:
    """The outline about (0, 0) in pixels; `turn` in radians, clockwise."""
    c, s = diameter * math.cos(turn), diameter * math.sin(turn)
    return [(x * c - y * s, x * s + y * c) for x, y in OUTLINES[shape]]


def _span(outline: list[Point]) -> Box:
    xs, ys = [x for x, _ in outline], [y for _, y in outline]
    return min(xs), min(ys), max(xs), max(ys)


def overlap(a: Box, b: Box) -> float:
    """How much of the smaller box the other covers, 0..1."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))


def _place(
    attributes: dict[str, str], level: Level, taken: list[SceneObject], rng: random.Random
) -> SceneObject | None:
    """The object at a place of its own, or None where chance found no room."""
    height, width = level.image_size
    diameter = SIZES[attributes["size"]] * min(height, width) * rng.uniform(0.94, 1.06)
    outline = outline_of(attributes["shape"], diameter, math.radians(rng.uniform(-12, 12)))
    x0, y0, x1, y1 = _span(outline)
    for _ in range(20):
        x, y = rng.uniform(2 - x0, width - 2 - x1), rng.uniform(2 - y0, height - 2 - y1)
        box = (x + x0, y + y0, x + x1, y + y1)
        if all(overlap(box, other.box) <= level.max_overlap for other in taken):
            moved = tuple((x + dx, y + dy) for dx, dy in outline)
            return SceneObject(**attributes, outline=moved, box=box)
    return None


def _attributes(level: Level, rng: random.Random) -> list[dict[str, str]]:
    """The objects' attributes; in a scene with a theme most of them share their shape or their colour."""
    names = ("size", "texture", "colour", "shape")
    count = rng.randint(*level.objects)
    objects = [{name: rng.choice(level.values(name)) for name in names} for _ in range(count)]
    chance = rng.random()
    for theme, share in THEMES:
        if 0 <= chance < share:
            shared = {theme: rng.choice(level.values(theme))}
            objects = [{**attributes, **shared} if rng.random() < JOINING else attributes for attributes in objects]
        chance -= share
    return objects


def compose(level: Level, rng: random.Random) -> Scene:
    """A scene by chance. Raises ConfigError for a level whose objects do not fit into its pictures."""
    for _ in range(ATTEMPTS):
        placed: list[SceneObject] = []
        for attributes in _attributes(level, rng):
            found = _place(attributes, level, placed, rng)
            if found is None:
                break
            placed.append(found)
        else:
            background, strokes = rng.choice(level.backgrounds), rng.randint(0, level.clutter)
            return Scene(level.image_size, tuple(placed), background, strokes, rng.getrandbits(32))
    raise ConfigError(f"scene level: {level.objects[1]} objects do not fit; use fewer objects or a larger max_overlap")


def scene_at(level: Level, seed: int, split: str, index: int) -> Scene:
    """Scene `index` of a split: the same on every machine and in every process."""
    return compose(level, random.Random(f"{seed}/{split}/{index}"))


def relations(a: SceneObject, b: SceneObject) -> tuple[str, ...]:
    """How `a` lies to `b`, "left of", "right of", "above", "below", where their boxes are apart on that axis."""
    return tuple(
        name
        for name, apart in (
            ("left of", a.box[2] < b.box[0]),
            ("right of", b.box[2] < a.box[0]),
            ("above", a.box[3] < b.box[1]),
            ("below", b.box[3] < a.box[1]),
        )
        if apart
    )


def leans(a: SceneObject, relation: str, b: SceneObject) -> bool:
    """Whether the middle of `a` is this way from the middle of `b`, by a quarter of b's extent or more."""
    axis = 0 if relation in ("left of", "right of") else 1
    extent = b.box[axis + 2] - b.box[axis]
    offset = a.centre[axis] - b.centre[axis]
    return (offset if relation in ("right of", "below") else -offset) >= extent / 4


def halves(a: SceneObject, image_size: tuple[int, int]) -> tuple[str, ...]:
    """The halves of the picture, of "left", "right", "top" and "bottom", that the object is wholly in."""
    height, width = image_size
    return tuple(
        name
        for name, inside in (
            ("left", a.box[2] < width / 2),
            ("right", a.box[0] > width / 2),
            ("top", a.box[3] < height / 2),
            ("bottom", a.box[1] > height / 2),
        )
        if inside
    )
