"""COCO caption results: `[{"image_id": 42, "caption": "a red ball"}, ...]`, one for each image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from common.data.results import write_results

KEYS = ("image_id", "caption")


def write_captions(
    path: str | Path, captions: Mapping[int | str, str], expected: Collection[int | str] | None = None
) -> None:
    """Write captions by image id; raises DataError, and writes nothing, unless the ids are the expected ones."""
    write_results(path, captions, KEYS, expected)
