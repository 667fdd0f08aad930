"""Results files of the evaluation servers: a JSON list with one {id, text} object for each image or question."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TypeAlias

from common.errors import DataError
from common.files import replacing

Id: TypeAlias = int | str


def write_results(
    path: str | Path, results: Mapping[Id, str], keys: tuple[str, str], expected: Collection[Id] | None = None
) -> None:
    """Write the results, or, on any fault, nothing: an older file stays as it was.

    keys: the names of the id and of the text, such as ("image_id", "caption").
    expected: the ids that there must be, no more and no fewer. Raises DataError where it is otherwise, or where a text
    cannot be written.
    """
    path = Path(path)
    entries = [dict(zip(keys, pair, strict=True)) for pair in results.items()]
    _compare(results, expected, path)
    try:
        content = json.dumps(entries, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{path}: a text has half a surrogate pair, which UTF-8 cannot hold: {error}") from error
    with replacing(path) as draft:
        draft.write_bytes(content)


def _compare(results: Mapping[Id, str], expected: Collection[Id] | None, path: Path) -> None:
    if expected is None:
        return
    if missing := set(expected) - results.keys():
        raise DataError(
            f"{path}: {len(missing)} of {len(set(expected))} ids are missing, such as {min(missing, key=str)!r}"
        )
    if extra := results.keys() - set(expected):
        raise DataError(f"{path}: {len(extra)} ids are not of this data set, such as {min(extra, key=str)!r}")
