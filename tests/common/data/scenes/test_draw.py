from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from common.data.scenes import COLOURS, DEMO, FULL, TINY
from common.data.scenes.draw import draw
from common.data.scenes.levels import BACKGROUNDS
from common.data.scenes.world import Scene, compose, scene_at


def _alone(**values: str) -> Scene:
    """A scene of one large object with these attributes on a plain background."""
    level = replace(
        TINY,
        image_size=(96, 96),
        objects=(1, 1),
        question_types=("existence",),
        shapes=(values.get("shape", "circle"),),
        colours=(values.get("colour", "red"),),
        sizes=("large",),
        textures=(values.get("texture", "solid"),),
    )
    return compose(level, random.Random(3))


def test_the_same_scene_gives_the_same_bytes() -> None:
    for index in range(8):
        scene = scene_at(FULL, 0, "train", index)
        assert draw(scene).tobytes() == draw(scene).tobytes()


def test_a_picture_has_the_levels_size_and_three_channels() -> None:
    picture = draw(scene_at(FULL, 0, "val", 0))
    assert picture.mode == "RGB"
    assert (picture.height, picture.width) == FULL.image_size


@pytest.mark.parametrize("shape", FULL.shapes)
def test_an_object_fills_its_box_and_nothing_beyond_it(shape: str) -> None:
    scene = _alone(shape=shape)
    pixels = np.asarray(draw(scene)).astype(int)
    red = pixels[..., 0] - pixels[..., 2] > 70  # the object, not its grey shadow
    rows, columns = np.nonzero(red)
    found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
    assert found == pytest.approx(scene.objects[0].box, abs=2)


@pytest.mark.parametrize("colour", COLOURS)
def test_the_colour_of_an_object_is_nearest_to_its_name(colour: str) -> None:
    scene = _alone(colour=colour)
    x, y = (round(value) for value in scene.objects[0].centre)
    pixels = np.asarray(draw(scene)).astype(float)[y - 6 : y + 7, x - 6 : x + 7].mean((0, 1))
    distance = {name: np.linalg.norm(pixels - np.array(value)) for name, value in COLOURS.items()}
    assert min(distance, key=distance.__getitem__) == colour


def test_textures_can_be_told_apart_by_their_light_pixels() -> None:
    light = {}
    for texture in ("solid", "striped", "dotted"):
        scene = _alone(texture=texture, colour="blue")
        x, y = (round(value) for value in scene.objects[0].centre)
        patch = np.asarray(draw(scene))[y - 8 : y + 9, x - 8 : x + 9, 0]
        light[texture] = (patch > 150).mean()
    assert light["solid"] == 0
    assert 0.05 < light["dotted"] < light["striped"] < 0.6


def test_backgrounds_and_strokes_differ_and_stay_pale() -> None:
    plain = scene_at(DEMO, 0, "train", 0)
    drawn = {}
    for background in BACKGROUNDS:
        for strokes in (0, 6):
            scene = replace(plain, objects=(), background=background, strokes=strokes)
            drawn[background, strokes] = np.asarray(draw(scene))
    assert len({pixels.tobytes() for pixels in drawn.values()}) == len(drawn)
    assert all(pixels.mean() > 170 for pixels in drawn.values())


def test_nearer_objects_cover_farther_ones() -> None:
    red, blue = _alone(colour="red"), _alone(colour="blue")
    both = replace(red, objects=(red.objects[0], blue.objects[0]))
    x, y = (round(value) for value in blue.objects[0].centre)
    pixel = np.asarray(draw(both))[y, x].astype(int)
    assert pixel[2] > pixel[0]
