"""What the readers share: reading annotation files, checking what is in them, and finding the images they name."""

from __future__ import annotations

import gc
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

from common.data.records import NamedBox
from common.errors import DataError, has_lone_surrogate

Entry: TypeAlias = dict[str, Any]
Slim: TypeAlias = Callable[[Entry], Any]

_SIGNS = (  # (where its entries are, a key of the first one, what a JSON with such entries is)
    ("questions", "image_filename", "CLEVR questions"),
    ("questions", "question", "VQA questions"),
    ("annotations", "caption", "COCO captions"),
    ("annotations", "question_id", "VQA annotations"),
    ("annotations", "bbox", "COCO object boxes"),
    ("images", "sentences", "a Karpathy split"),
    ("images", "qa_pairs", "Visual7W questions"),
    ("images", "file_name", "a COCO list of images"),
    ("scenes", "objects", "CLEVR scenes"),
    ("boxes", "qa_id", "Visual7W boxes"),
    ("data.dialogs", "dialog", "Visual Dialog dialogues"),
    ("", "round_id", "Visual Dialog dense annotations"),
    ("", "coco_split", "VQA-CP questions or annotations"),
    ("", "image", "VizWiz questions"),
    ("*", "imageId", "GQA questions"),
    ("*", "valid", "GQA choices"),
    ("*", "objects", "GQA scene graphs"),
)


def read_text(path: str) -> str:
    """The text of an annotation file."""
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"annotation file {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"annotation file {path} is not UTF-8 text (byte {error.start})") from error


def parse_json(text: str, where: str, slim: Slim | None = None) -> Any:
    """The value that a JSON text stands for; `slim` is given each object in it, the inner first, and what it returns
    is taken instead."""
    try:
        return json.loads(text, object_hook=slim)
    except json.JSONDecodeError as error:
        cut = " (is the file cut off?)" if error.pos >= len(text.rstrip()) or "Unterminated" in error.msg else ""
        raise DataError(
            f"{where} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}{cut}"
        ) from error
    except RecursionError as error:
        raise DataError(f"{where} is nested too deeply for an annotation file") from error
    except ValueError as error:  # a number of thousands of digits
        raise DataError(f"{where} is no annotation file: {error}") from error


def read_json(path: str, kinds: Iterable[str], slim: Slim | None = None) -> Any:
    """The JSON in a file, which must be one of the `kinds` that `kind_of` tells apart; `slim` as in `parse_json`.

    A large file should be slimmed: Python's objects take six times the room of their text.
    """
    text = read_text(path)
    with no_garbage_collection():
        document = parse_json(text, path, slim)
    found = kind_of(document)
    if found not in kinds:
        raise DataError(f"{path} holds {found}, but {' or '.join(kinds)} is wanted here")
    return document


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Do not look for garbage where millions of objects are made that all stay: that would take half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def kind_of(document: object) -> str:
    """What a JSON value is, by the names of its lists and the first entry of each."""
    for place, sign, kind in _SIGNS:
        first = _first(document, place)
        if isinstance(first, dict) and sign in first:
            return kind
    if not isinstance(document, dict):
        return f"a JSON {type(document).__name__}"
    return f"a JSON object of an unknown kind (its keys: {', '.join(map(str, list(document)[:8])) or 'none'})"


def _first(document: object, place: str) -> object:
    """The first entry of the list at `place`, dotted keys or "" for the document itself; at "*" an object's value."""
    if place == "*":
        return next(iter(document.values()), None) if isinstance(document, dict) else None
    for key in place.split(".") if place else ():
        document = document.get(key) if isinstance(document, dict) else None
    return document[0] if isinstance(document, list) and document else None


def entries(document: Entry, key: str, needed: Iterable[str], path: str) -> Iterator[Entry]:
    """The objects in the list `document[key]`, none if there is no such list; each has the `needed` keys."""
    listed = document.get(key, [])
    if not isinstance(listed, list):
        raise DataError(f"{path}: {key!r} is a {type(listed).__name__} where a list is wanted")
    return objects(listed, needed, f"{path}: {key}")


def objects(listed: list[Any], needed: Iterable[str], where: str) -> Iterator[Entry]:
    """The entries of a list, each an object that has the `needed` keys."""
    for index, entry in enumerate(listed):
        require(entry, needed, f"{where}[{index}]")
        yield entry


def require(entry: object, needed: Iterable[str], where: str) -> None:
    """Raise DataError unless `entry` is an object that has the `needed` keys."""
    if not isinstance(entry, dict):
        raise DataError(f"{where} is a {type(entry).__name__} where an object is wanted")
    missing = [key for key in needed if key not in entry]
    if missing:
        raise DataError(f"{where} has no {', '.join(map(repr, missing))}")


def require_distinct(ids: Iterable[object], what: str, path: str) -> None:
    """Raise DataError unless the ids of the images or questions in a file are numbers or texts, and no two the same."""
    seen = set()
    for found in ids:
        if not isinstance(found, (int, str)):
            raise DataError(f"{path}: the {what} id {found!r} is neither a number nor text")
        if found in seen:
            raise DataError(f"{path} has the {what} {found!r} twice: put what is said of it in one entry")
        seen.add(found)


def require_text(value: object, what: str) -> str:
    """`value` as text with plain single spaces, which may not be empty; `what` and where it is goes into the error."""
    if not isinstance(value, str):
        raise DataError(f"{what} is {value!r} where text is wanted")
    text = " ".join(value.split())
    if not text:
        raise DataError(f"{what} is empty: give it words or take it out")
    if has_lone_surrogate(text):
        raise DataError(f"{what} is {text!r}, which holds half of a sign (a lone surrogate): write the whole sign")
    return text


def texts(entry: Entry, key: str, where: str) -> tuple[str, ...]:
    """The texts in the list `entry[key]`, none if there is no such list."""
    listed = entry.get(key, [])
    if not isinstance(listed, list):
        raise DataError(f"{where}: {key!r} is {listed!r} where a list of texts is wanted")
    return tuple(require_text(text, f"{where}: a text in {key!r}") for text in listed)


def named_boxes(image: Entry, where: str) -> tuple[NamedBox, ...]:
    """The `boxes` of an image's entry, if any: `{"bbox": [x, y, width, height] in pixels, "name", "attributes"}`."""
    if not image.get("boxes"):
        return ()
    require(image, ("width", "height"), f"{where}, which has boxes,")
    boxes = image["boxes"]
    try:
        if not isinstance(boxes, list):
            raise TypeError
        return tuple(_named_box(box, image["width"], image["height"]) for box in boxes)
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise DataError(
            f'{where} has boxes that are not of the form {{"bbox": [x, y, width, height], "name": "dog"}}, '
            f"in pixels, with the picture's own width and height: {str(boxes)[:200]}"
        ) from error


def _named_box(box: dict[str, Any], image_width: float, image_height: float) -> NamedBox:
    x, y, width, height = box["bbox"]
    corners = (x / image_width, y / image_height, (x + width) / image_width, (y + height) / image_height)
    if not all(map(math.isfinite, corners)) or min(width, height) < 0 or min(image_width, image_height) <= 0:
        raise ValueError
    if max(corners[:2]) > 1 or min(corners[2:]) < 0:  # nothing of it is in the picture
        raise ValueError
    attributes = tuple(box.get("attributes", ()))
    if not all(isinstance(word, str) for word in (box["name"], *attributes)):
        raise TypeError
    return NamedBox(corners, box["name"], attributes)


class ImageFolder:
    """The folder that the names of images start from. Listed once: a `stat` for each of 100,000 images is slow."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._names: dict[Path, frozenset[str]] = {}
        self._found: dict[tuple[str, ...], Path] = {}  # questions about one picture share its path
        if not self.folder.is_dir():
            raise DataError(f"image folder {folder} does not exist or is not a folder")

    def find(self, *names: str, named_by: str) -> Path:
        """The first of `names` (an image's name and the other names it may have) that is there."""
        if names in self._found:
            return self._found[names]
        for name in names:
            path = self.folder / name
            if path.name in self._listing(path.parent):
                return self._found.setdefault(names, path)
        raise DataError(
            f"{named_by} names the image {self.folder / names[0]}, which is not there; "
            "set `images` to the folder that holds it, or take the entry out"
        )

    def _listing(self, folder: Path) -> frozenset[str]:
        if folder not in self._names:
            self._names[folder] = frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()
        return self._names[folder]
