from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from common.data.scenes import TINY, write_scenes
from common.data.scenes.world import Scene, SceneObject


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("scenes") / "tiny"
    write_scenes(root, TINY)
    return root


@pytest.fixture
def thing() -> Callable[..., SceneObject]:
    """Makes an object from a phrase such as "small solid red circle" and its box; its outline is the box."""

    def make(words: str, *box: float) -> SceneObject:
        size, texture, colour, shape = words.split()
        x0, y0, x1, y1 = box
        return SceneObject(size, texture, colour, shape, ((x0, y0), (x1, y0), (x1, y1), (x0, y1)), (x0, y0, x1, y1))

    return make


@pytest.fixture
def scene_of() -> Callable[..., Scene]:
    """Makes a scene of 100 x 100 pixels from objects."""
    return lambda *things: Scene((100, 100), things, "plain", 0, 0)
