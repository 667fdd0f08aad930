"""COCO caption results: `[{"image_id": 42, "caption": "a red ball"}, ...]`, one for each image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from common.data.results import read_results, write_results

KEYS = ("image_id", "caption")


def write_captions(
    path: str | Path, captions: Mapping[int | str, str], expected: Collection[int | str] | None = None
) -> None:
    """Write captions by image id; raises DataError, and writes nothing, unless the ids are the expected ones."""
    write_results(path, captions, KEYS, expected)


def read_captions(path: str | Path, expected: Collection[int | str] | None = None) -> dict[int | str, str]:
    """Read captions by image id; raises DataError for a bad file."""
    return read_results(path, KEYS, expected)
