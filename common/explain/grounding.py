"""Is attention where it should be? Pointing game, attention correctness and entropy, beside what chance would score."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from itertools import takewhile

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor, special

from common.attention.maps import Boxes, Grid
from common.data.records import NamedBox
from common.explain.placement import peaks, place_map


def inside(
    x: Float[np.ndarray, "*#shape"],
    y: Float[np.ndarray, "*#shape"],
    boxes: Sequence[NamedBox],
    picture_size: tuple[int, int],
    tolerance: float = 0.0,
) -> Bool[np.ndarray, "..."]:
    """Which points, in pixels (broadcast), lie in any of the boxes, edges included, or closer than `tolerance` pixels.

    The official pointing game (Zhang et al. 2016; TorchRay) counts a squared distance < tolerance^2 with a tolerance of
    15, by which rule a tolerance of 0 could never hit; here 0 means inside.
    """
    width, height = picture_size
    hit = np.zeros(np.broadcast_shapes(np.shape(x), np.shape(y)), dtype=bool)
    for box in boxes:
        x0, y0, x1, y1 = np.multiply(box.corners, (width, height, width, height))
        across = np.maximum(np.maximum(x0 - x, x - x1), 0)
        down = np.maximum(np.maximum(y0 - y, y - y1), 0)
        hit |= across**2 + down**2 < tolerance**2 if tolerance else (across == 0) & (down == 0)
    return hit


def pointing_hit(
    weights: Float[Tensor, " R"],
    layout: Grid | Boxes,
    boxes: Sequence[NamedBox],
    picture_size: tuple[int, int],
    tolerance: float = 0.0,
) -> float:
    """1 if the peak of the map (see `peaks`) is in one of the boxes, else 0.

    Where regions tie for the peak, the share of them that hit: a flat map scores what chance would, no more.
    """
    points = peaks(weights, layout, picture_size)
    return float(inside(points[:, 0], points[:, 1], boxes, picture_size, tolerance).mean())


def attention_correctness(
    weights: Float[Tensor, " R"], layout: Grid | Boxes, boxes: Sequence[NamedBox], picture_size: tuple[int, int]
) -> float:
    """The share of the attention on the picture that falls into the boxes (Liu et al. 2017); 0 if there is none.

    A uniform map scores the boxes' share of the picture's area: `area_fraction`.
    """
    placed = place_map(weights, layout, picture_size)
    target = inside(*_pixel_centres(picture_size), boxes, picture_size)
    total = float(placed.sum())
    return float(placed.sum(where=target)) / total if total > 0 else 0.0


def area_fraction(boxes: Sequence[NamedBox], picture_size: tuple[int, int], tolerance: float = 0.0) -> float:
    """The share of the picture's pixels that would hit: what pointing at random scores."""
    return float(inside(*_pixel_centres(picture_size), boxes, picture_size, tolerance).mean())


def entropy(weights: Float[Tensor, "*axes R"]) -> Float[Tensor, "*axes"]:
    """Of each distribution, in nats: 0 for a single region, log R for all alike; weights are scaled to sum to 1."""
    total = weights.sum(-1, keepdim=True)
    return special.entr(weights / total.masked_fill(total == 0, 1)).sum(-1)


def object_mentions(
    words: Sequence[str], boxes: Sequence[NamedBox], names: Collection[str] = (), attributes: Collection[str] = ()
) -> list[tuple[int, tuple[NamedBox, ...]]]:
    """The position of each object word of a caption, with the boxes that it may mean.

    A box is meant if the word is its name (or the plural in -s or -es) and it has every attribute that stands in an
    unbroken run before it: "a small red cube" means the cubes that are small and red. A mention without any box
    misnames what is there.

    names, attributes: further words to know as such, of objects and attributes that this picture may lack; without
    them "a green cube" in a picture without green is read as "a cube".
    """
    named: dict[str, list[NamedBox]] = {name: [] for name in names}
    for box in boxes:
        named.setdefault(box.name, []).append(box)
    singular = {form: name for name in named for form in (name, f"{name}s", f"{name}es")}
    known_attributes = {attribute for box in boxes for attribute in box.attributes} | set(attributes)
    mentions = []
    for position, word in enumerate(words):
        if word in singular:
            said = set(takewhile(known_attributes.__contains__, reversed(words[:position])))
            meant = tuple(box for box in named[singular[word]] if said <= set(box.attributes))
            mentions.append((position, meant))
    return mentions


class PointingGame:
    """Sums up, over many maps whose target is known, how well they point, with the baselines of the same targets."""

    def __init__(self, tolerance: float = 0.0) -> None:
        self.tolerance = tolerance
        self.count = 0
        names = ("pointing", "centre", "uniform", "correctness", "area", "entropy", "spread")
        self.totals = dict.fromkeys(names, 0.0)

    def add(
        self,
        weights: Float[Tensor, " R"],
        layout: Grid | Boxes,
        boxes: Sequence[NamedBox],
        picture_size: tuple[int, int],
    ) -> None:
        """Score one map against the boxes it may rightly point at, of which there must be one at least."""
        if not boxes:
            raise ValueError("no box to point at: count a mention without a box as misnamed, not as a miss")
        width, height = picture_size
        centre = inside(np.asarray(width / 2), np.asarray(height / 2), boxes, picture_size, self.tolerance)
        self.count += 1
        self.totals["pointing"] += pointing_hit(weights, layout, boxes, picture_size, self.tolerance)
        self.totals["centre"] += float(centre)
        area = area_fraction(boxes, picture_size)
        self.totals["area"] += area
        self.totals["uniform"] += area_fraction(boxes, picture_size, self.tolerance) if self.tolerance else area
        self.totals["correctness"] += attention_correctness(weights, layout, boxes, picture_size)
        nats = entropy(weights).item()
        self.totals["entropy"] += nats
        self.totals["spread"] += nats / math.log(len(weights)) if len(weights) > 1 else 0.0

    def result(self) -> dict[str, float]:
        """Means over the maps, and how many there were; nothing where there were none, which is no 0.

        pointing: share of hits; centre, uniform: of always pointing at the picture's centre, and at random.
        correctness: share of the attention in the boxes; area: what a uniform map has there.
        entropy: of the weights, in nats; spread: as a share of log R, the entropy of a uniform map of R regions.
        """
        if not self.count:
            return {}
        return {name: total / self.count for name, total in self.totals.items()} | {"n": self.count}

    def report(self) -> dict[str, float]:
        """What an evaluation prints: how many maps were scored, how many percent hit, beside that what looking without
        thought would score, and how wide the maps are; nothing where there was nothing to point at."""
        if not (result := self.result()):
            return {}
        return {
            "maps with a known target": result["n"],
            "pointing": 100 * result["pointing"],
            "pointing, centre of the picture": 100 * result["centre"],
            "pointing, uniform": 100 * result["uniform"],
            "attention in the box": 100 * result["correctness"],
            "attention in the box, uniform": 100 * result["area"],
            "attention entropy, nats": result["entropy"],
            "attention entropy, % of uniform": 100 * result["spread"],
        }


def _pixel_centres(picture_size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    width, height = picture_size
    return np.arange(width)[None, :] + 0.5, np.arange(height)[:, None] + 0.5
