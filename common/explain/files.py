"""What the files with overlays are called."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

LONGEST_STEM = 200  # bytes; file systems take names of 255, and drafts of a file have longer ones


class OverlayNames:
    """Names for overlays: `photo-caption.png` for photo.jpg, then `photo-caption-2.png`, and so on.

    No two overlays of a run get the same name, and none gets that of its picture; a later run gives the same names.
    """

    def __init__(self, folder: Path, shown: str, suffix: str) -> None:
        self.folder = folder
        self.shown = shown
        self.suffix = suffix
        self._given: Counter[str] = Counter()

    def next(self, picture: Path) -> Path:
        """The path of another overlay for a picture."""
        stem = os.fsdecode(os.fsencode(picture.stem)[:LONGEST_STEM])
        self._given[stem] += 1
        number = self._given[stem]
        counted = f"-{number}" if number > 1 else ""
        return self.folder / f"{stem}-{self.shown}{counted}.{self.suffix}"
