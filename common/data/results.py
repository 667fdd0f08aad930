"""Results files of the evaluation servers: a JSON list with one {id, text} object for each image or question."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from common.errors import DataError
from common.files import replacing

Id: TypeAlias = int | str
NAMED = 5  # ids that a message names


def write_results(
    path: str | Path, results: Mapping[Id, str], keys: tuple[str, str], expected: Collection[Id] | None = None
) -> None:
    """Write the results, or, on any fault, nothing: an older file stays as it was.

    keys: the names of the id and of the text, such as ("image_id", "caption").
    expected: the ids that there must be, no more and no fewer. Raises DataError where it is otherwise, or where a text
    cannot be written.
    """
    if expected is not None:
        check_ids(results.keys(), expected, path)
    write_entries(path, [dict(zip(keys, pair, strict=True)) for pair in results.items()])


def write_entries(path: str | Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write a list of objects as JSON, or, on any fault, nothing; DataError where a text cannot be written."""
    path = Path(path)
    try:
        content = json.dumps(entries, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{path}: a text has half a surrogate pair, which UTF-8 cannot hold: {error}") from error
    with replacing(path) as draft:
        draft.write_bytes(content)


def check_ids(found: Collection[Id], expected: Collection[Id], path: str | Path) -> None:
    """Raise DataError, naming some of them, where ids are missing or too many; 42 and "42" are two ids."""
    wanted, given = set(expected), set(found)
    if missing := wanted - given:
        raise DataError(f"{path}: {len(missing)} of {len(wanted)} ids are missing: {some(missing)}")
    if extra := given - wanted:
        raise DataError(f"{path}: {len(extra)} ids are not of this data set: {some(extra)}")


def some(ids: Collection[Id]) -> str:
    """The first few of them in order, for a message."""
    ordered = sorted(ids, key=lambda each: (isinstance(each, str), each))
    return ", ".join(map(repr, ordered[:NAMED])) + (", ..." if len(ordered) > NAMED else "")
