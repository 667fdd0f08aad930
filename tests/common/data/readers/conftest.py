from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Write = Callable[[str, Any], str]


@pytest.fixture
def images(tmp_path: Path) -> str:
    """A folder of (empty) image files, called as the datasets call theirs."""
    names = ("000000000009.jpg", "COCO_val2014_000000000009.jpg", "COCO_val2014_000000000042.jpg", "val2014/a.jpg")
    for name in (*names, "a.jpg", "b.jpg", "image3.jpg", "image4.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return str(tmp_path / "images")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a file, given as text or as what its JSON is to hold, and return its path."""

    def write(name: str, content: Any) -> str:
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return str(path)

    return write
