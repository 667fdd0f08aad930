"""Results files of the evaluation servers: a JSON list with one {id, text} object for each image or question."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from common.data.readers.checks import Entry, objects, parse_json, read_text, require_distinct
from common.errors import DataError, has_lone_surrogate
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


def read_results(path: str | Path, forms: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], dict[Id, str]]:
    """Texts by id from anyone's results file, and which of the `forms`, names of id and text, it is written in.

    Raises DataError where the file is none, an id comes twice, or a text is not text but null, NaN or a number.
    """
    form, entries = read_entries(path, forms)
    return form, {key: entry[form[1]] for key, entry in entries.items()}


def read_entries(path: str | Path, forms: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], dict[Id, Entry]]:
    """As `read_results`, with all that each entry says besides."""
    text = read_text(str(path))
    listed = parse_json(text, str(path)) if text.strip() else None
    wanted = " or ".join(f'[{{"{key}": ..., "{name}": "..."}}, ...]' for key, name in forms)
    if not isinstance(listed, list) or not listed:
        found = "is empty" if not listed else f"holds a JSON {type(listed).__name__}"
        raise DataError(f"{path} {found}, but results are a list: {wanted}")
    form = next((form for form in forms if isinstance(listed[0], dict) and set(form) <= listed[0].keys()), None)
    if form is None:
        raise DataError(f"{path}: its first entry is not one of results: write {wanted}")
    entries = list(objects(listed, form, str(path)))
    require_distinct((entry[form[0]] for entry in entries), form[0], str(path))
    for entry in entries:
        _check_text(entry, form, path)
    return form, {entry[form[0]]: entry for entry in entries}


def _check_text(entry: Entry, form: tuple[str, str], path: str | Path) -> None:
    text = entry[form[1]]
    if not isinstance(text, str) or has_lone_surrogate(text):
        raise DataError(f'{path}: the {form[1]} of {form[0]} {entry[form[0]]!r} is {text!r}: write text, "" for none')
