from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import pytest

from common.data.scenes import DEMO, FULL, SHAPES, TINY, Level
from common.data.scenes.world import SceneObject, compose, halves, leans, outline_of, overlap, relations, scene_at
from common.errors import ConfigError


def test_a_scene_depends_on_seed_split_and_index_only() -> None:
    assert scene_at(FULL, 1, "train", 5) == scene_at(FULL, 1, "train", 5)
    others = [(2, "train", 5), (1, "val", 5), (1, "train", 6)]
    assert all(scene_at(FULL, *other) != scene_at(FULL, 1, "train", 5) for other in others)


@pytest.mark.parametrize("level", [DEMO, FULL])
def test_objects_lie_in_the_picture_and_overlap_no_more_than_allowed(level: Level) -> None:
    height, width = level.image_size
    for index in range(60):
        scene = scene_at(level, 0, "train", index)
        assert level.objects[0] <= len(scene.objects) <= level.objects[1]
        for thing in scene.objects:
            x0, y0, x1, y1 = thing.box
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            xs, ys = zip(*thing.outline, strict=True)
            assert thing.box == pytest.approx((min(xs), min(ys), max(xs), max(ys)))
        assert all(overlap(a.box, b.box) <= level.max_overlap for a, b in combinations(scene.objects, 2))


def test_scenes_use_every_value_of_the_level() -> None:
    things = [thing for index in range(150) for thing in scene_at(FULL, 0, "train", index).objects]
    for name in ("size", "texture", "colour", "shape"):
        assert {getattr(thing, name) for thing in things} == set(FULL.values(name))


def test_the_smallest_large_object_is_clearly_larger_than_the_largest_small_one() -> None:
    extents: dict[str, list[float]] = {"small": [], "large": []}
    for index in range(100):
        for thing in scene_at(DEMO, 0, "train", index).objects:
            extents[thing.size].append(max(thing.box[2] - thing.box[0], thing.box[3] - thing.box[1]))
    assert min(extents["large"]) > 1.15 * max(extents["small"])


@pytest.mark.parametrize("shape", SHAPES)
def test_outlines_are_about_as_wide_as_the_diameter_and_lie_about_their_centre(shape: str) -> None:
    outline = outline_of(shape, diameter=100, turn=0)
    xs, ys = zip(*outline, strict=True)
    assert 85 < max(xs) - min(xs) < 125
    assert 85 < max(ys) - min(ys) < 125
    assert abs(max(xs) + min(xs)) < 10
    assert abs(max(ys) + min(ys)) < 35  # a triangle's centre is not the middle of its height


def test_objects_that_do_not_fit_are_reported() -> None:
    crowd = replace(TINY, objects=(40, 40), max_overlap=0.0)
    with pytest.raises(ConfigError, match="40 objects do not fit"):
        compose(crowd, random.Random(0))


def test_overlap_by_hand() -> None:
    assert overlap((0, 0, 10, 10), (5, 5, 25, 25)) == pytest.approx(0.25)  # 5 x 5 of the smaller's 10 x 10
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0


def test_relations_hold_only_where_boxes_are_apart(thing: Callable[..., SceneObject]) -> None:
    a = thing("small solid red circle", 10, 10, 20, 20)
    assert relations(a, thing("small solid blue square", 30, 15, 40, 25)) == ("left of",)
    assert relations(thing("small solid blue square", 30, 15, 40, 25), a) == ("right of",)
    assert relations(a, thing("small solid blue square", 30, 30, 40, 40)) == ("left of", "above")
    assert relations(a, thing("small solid blue square", 15, 15, 25, 25)) == ()


def test_leaning_asks_for_a_quarter_of_the_others_extent(thing: Callable[..., SceneObject]) -> None:
    reference = thing("small solid red circle", 40, 40, 60, 60)  # centre 50, extent 20
    assert leans(thing("small solid red circle", 45, 40, 65, 60), "right of", reference)
    assert not leans(thing("small solid red circle", 44, 40, 64, 60), "right of", reference)
    assert not leans(thing("small solid red circle", 45, 40, 65, 60), "left of", reference)
    assert leans(thing("small solid red circle", 40, 20, 60, 40), "above", reference)


def test_halves_exclude_what_crosses_the_middle(thing: Callable[..., SceneObject]) -> None:
    assert halves(thing("small solid red circle", 10, 10, 30, 30), (100, 100)) == ("left", "top")
    assert halves(thing("small solid red circle", 45, 60, 65, 80), (100, 100)) == ("bottom",)
    assert halves(thing("small solid red circle", 45, 60, 65, 80), (100, 200)) == ("left", "bottom")
