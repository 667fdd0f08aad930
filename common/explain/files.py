"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` at the end, or vanishes if that is not reached.

    Makes the folder. Raises DataError where the file cannot be written; what was there before is then untouched.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error


def writable_folder(folder: Path) -> Path:
    """The folder, made where need be, so that a fault shows before hours of work; raises DataError for one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise DataError(f"cannot write to the folder {folder}: permission denied")
    return folder


class OverlayNames:
    """Names for overlays: `photo-attention.png` for photo.jpg, then `photo-attention-2.png`, and so on.

    No two overlays of a run get the same name, and none gets that of its picture; a later run gives the same names.
    """

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder = folder
        self.suffix = suffix
        self._given: Counter[str] = Counter()

    def next(self, picture: Path) -> Path:
        """The path of another overlay for a picture."""
        self._given[picture.stem] += 1
        number = self._given[picture.stem]
        return self.folder / f"{picture.stem}-attention{f'-{number}' if number > 1 else ''}.{self.suffix}"
