"""The words of the scenes and the levels of difficulty."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from common.errors import ConfigError, nearest

SHAPES = ("circle", "square", "triangle", "star", "cross", "heart")
COLOURS = {
    "red": (214, 40, 48),
    "green": (52, 160, 66),
    "blue": (38, 84, 214),
    "yellow": (250, 212, 36),
    "purple": (134, 52, 176),
    "cyan": (52, 196, 212),
    "orange": (243, 126, 20),
    "pink": (250, 150, 196),
}
SIZES = {"small": 0.22, "large": 0.37}  # diameter, as a fraction of the picture's shorter side
TEXTURES = ("solid", "striped", "dotted")
BACKGROUNDS = ("plain", "gradient", "blobs", "grain")
QUESTION_TYPES = (
    "existence",
    "count",
    "colour",
    "shape",
    "size",
    "texture",
    "position",
    "comparison",
    "relation",
    "neighbour",
)
ATTRIBUTES = ("size", "texture", "colour", "shape")  # in the order in which a phrase names them

_KNOWN: dict[str, Collection[str]] = {
    "shapes": SHAPES,
    "colours": COLOURS,
    "sizes": SIZES,
    "textures": TEXTURES,
    "backgrounds": BACKGROUNDS,
    "question_types": QUESTION_TYPES,
}


@dataclass(frozen=True)
class Level:
    """How hard the scenes are and how many there are.

    image_size: (height, width) in pixels.
    objects: the least and the most objects of a scene.
    clutter: the most faint strokes on a background.
    max_overlap: how much of the smaller of two objects' boxes the other may cover, 0..1.
    train, val, test: numbers of pictures.
    questions_per_image: the most; a picture has fewer where another question would unbalance the answers.
    """

    image_size: tuple[int, int]
    objects: tuple[int, int]
    shapes: tuple[str, ...]
    colours: tuple[str, ...]
    sizes: tuple[str, ...]
    textures: tuple[str, ...]
    backgrounds: tuple[str, ...]
    clutter: int
    max_overlap: float
    question_types: tuple[str, ...]
    train: int
    val: int
    test: int
    questions_per_image: int
    captions_per_image: int

    def __post_init__(self) -> None:
        for field, known in _KNOWN.items():
            names = getattr(self, field)
            if not names:
                raise ConfigError(f"scene level: {field} is empty; known: {', '.join(known)}")
            for name in names:
                if name not in known:
                    raise ConfigError(f"scene level: {field} has {name!r}{nearest(name, known)}")
        for name in ATTRIBUTES:
            if name in self.question_types and len(self.values(name)) < 2:
                raise ConfigError(f"scene level: {name} questions need two {name}s or more, not {self.values(name)}")
        if min(self.image_size) < 32:
            raise ConfigError(f"scene level: image_size {self.image_size} is too small to draw in; use 32 or more")
        if not 1 <= self.objects[0] <= self.objects[1]:
            raise ConfigError(f"scene level: objects {self.objects} must be (least, most) with 1 <= least <= most")

    def values(self, attribute: str) -> tuple[str, ...]:
        """The values that an attribute ("size", "texture", "colour", "shape") takes at this level."""
        values: tuple[str, ...] = getattr(self, f"{attribute}s")
        return values

    def images(self, split: str) -> int:
        """The number of pictures of "train", "val" or "test"."""
        return {"train": self.train, "val": self.val, "test": self.test}[split]


TINY = Level(
    image_size=(64, 64),
    objects=(2, 2),
    shapes=("circle", "square"),
    colours=("red", "green", "blue"),
    sizes=("small", "large"),
    textures=("solid",),
    backgrounds=("plain",),
    clutter=0,
    max_overlap=0.0,
    question_types=("existence", "count", "colour", "shape"),
    train=48,
    val=16,
    test=16,
    questions_per_image=4,
    captions_per_image=5,
)

DEMO = Level(
    image_size=(96, 96),
    objects=(2, 3),
    shapes=("circle", "square", "triangle", "star"),
    colours=("red", "green", "blue", "yellow", "purple", "cyan"),
    sizes=("small", "large"),
    textures=("solid",),
    backgrounds=("plain", "gradient"),
    clutter=0,
    max_overlap=0.05,
    question_types=("existence", "count", "colour", "shape", "size", "position"),
    train=4000,
    val=400,
    test=400,
    questions_per_image=7,
    captions_per_image=5,
)

FULL = Level(
    image_size=(128, 160),
    objects=(3, 5),
    shapes=SHAPES,
    colours=tuple(COLOURS),
    sizes=("small", "large"),
    textures=TEXTURES,
    backgrounds=BACKGROUNDS,
    clutter=6,
    max_overlap=0.12,
    question_types=QUESTION_TYPES,
    train=20000,
    val=1000,
    test=1000,
    questions_per_image=10,
    captions_per_image=5,
)

LEVELS = {"tiny": TINY, "demo": DEMO, "full": FULL}
