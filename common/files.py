"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import DataError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside `path` to write to; it takes the place of `path` at the end, or vanishes if that is not reached.

    Makes the folder. The draft is on the disk before it counts: neither a kill nor a power cut leaves half a file.

    Raises:
        DataError: the file cannot be written; what was there before is then untouched.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield draft
            with draft.open("rb+") as file:
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"cannot write {path}: {reason}; what was there before is whole") from error


def telling_names(first: Path, second: Path) -> tuple[str, str]:
    """What two files are called beside each other: the last part of their paths in which they differ.

    Their names without the suffix where these differ, else with it, else the last folders that do: "a" and "b" of
    `runs/a/results.json` and `runs/b/results.json`. One file twice has one name.
    """
    for names in ((first.stem, second.stem), (first.name, second.name)):
        if names[0] != names[1]:
            return names
    folders = zip(first.resolve().parts[-2::-1], second.resolve().parts[-2::-1], strict=False)
    return next((pair for pair in folders if pair[0] != pair[1]), (first.stem, second.stem))


def writable_file(path: Path) -> Path:
    """The path of a file that can be written, so that a fault shows before hours of work; raises DataError for one."""
    writable_folder(path.parent)
    if path.is_dir():
        raise DataError(f"cannot write {path}: it is a folder")
    return path


def writable_folder(folder: Path) -> Path:
    """The folder, made where need be, so that a fault shows before hours of work; raises DataError for one."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot make the folder {folder}: {error.strerror}") from error
    if not os.access(folder, os.W_OK):
        raise DataError(f"cannot write to the folder {folder}: permission denied")
    return folder
