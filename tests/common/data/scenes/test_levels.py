from __future__ import annotations

from dataclasses import replace

import pytest

from common.data.scenes import DEMO, LEVELS, TINY
from common.errors import ConfigError


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"shapes": ("circle", "sqare")}, "shapes has 'sqare'; did you mean 'square'"),
        ({"colours": ()}, "colours is empty"),
        ({"question_types": ("texture",)}, "texture questions need two textures or more"),
        ({"image_size": (16, 64)}, "too small"),
        ({"objects": (3, 2)}, "least <= most"),
    ],
)
def test_level_that_cannot_be_drawn_is_refused_in_one_line(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        replace(TINY, **wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_levels_grow_in_difficulty() -> None:
    tiny, demo, full = LEVELS["tiny"], LEVELS["demo"], LEVELS["full"]
    for easier, harder in ((tiny, demo), (demo, full)):
        assert set(easier.shapes) <= set(harder.shapes)
        assert set(easier.colours) <= set(harder.colours)
        assert set(easier.question_types) <= set(harder.question_types)
        assert easier.objects[1] < harder.objects[1]
        assert easier.train < harder.train


def test_values_and_numbers_of_images_by_name() -> None:
    assert DEMO.values("shape") == DEMO.shapes
    assert [TINY.images(split) for split in ("train", "val", "test")] == [TINY.train, TINY.val, TINY.test]
