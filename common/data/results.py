"""Results files of the evaluation servers: a JSON list with one {id, text} object for each image or question."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, TypeAlias

from common.data.readers.checks import parse_json, read_text
from common.errors import DataError

Id: TypeAlias = int | str


def write_results(
    path: str | Path, results: Mapping[Id, str], keys: tuple[str, str], expected: Collection[Id] | None = None
) -> None:
    """Write the results, or, on any fault, nothing: an older file stays as it was.

    keys: the names of the id and of the text, such as ("image_id", "caption").
    expected: the ids that there must be, no more and no fewer. Raises DataError for ids or texts that do not do.
    """
    path = Path(path)
    entries = [dict(zip(keys, pair, strict=True)) for pair in results.items()]
    _parse(entries, keys, path)
    _compare(results, expected, path)
    try:
        content = json.dumps(entries, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"{path}: a text has half a surrogate pair, which UTF-8 cannot hold: {error}") from error
    _replace(path, content)


def read_results(path: str | Path, keys: tuple[str, str], expected: Collection[Id] | None = None) -> dict[Id, str]:
    """Read results by id; raises DataError for a file that cannot be read or that `write_results` would not write."""
    path = Path(path)
    results = _parse(parse_json(read_text(str(path)), str(path)), keys, path)
    _compare(results, expected, path)
    return results


def _parse(entries: Any, keys: tuple[str, str], path: Path) -> dict[Id, str]:
    id_key, text_key = keys
    if not isinstance(entries, list):
        raise DataError(f"{path} must be a JSON list of {{{id_key}, {text_key}}}, not {type(entries).__name__}")
    results: dict[Id, str] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not set(keys) <= entry.keys():
            raise DataError(f"{path}: entry {number} needs {id_key!r} and {text_key!r}")
        identity, text = entry[id_key], entry[text_key]
        if isinstance(identity, bool) or not isinstance(identity, int | str):
            raise DataError(f"{path}: entry {number} has {id_key} {identity!r}: give a whole number or a string")
        if not isinstance(text, str):
            raise DataError(f"{path}: {id_key} {identity!r} has {text_key} {text!r}: give a string")
        if identity in results:
            raise DataError(f"{path}: {id_key} {identity!r} occurs twice: give one {text_key} for each")
        results[identity] = text
    return results


def _compare(results: Mapping[Id, str], expected: Collection[Id] | None, path: Path) -> None:
    if expected is None:
        return
    if missing := set(expected) - results.keys():
        raise DataError(
            f"{path}: {len(missing)} of {len(set(expected))} ids are missing, such as {min(missing, key=str)!r}"
        )
    if extra := results.keys() - set(expected):
        raise DataError(f"{path}: {len(extra)} ids are not of this data set, such as {min(extra, key=str)!r}")


def _replace(path: Path, content: bytes) -> None:
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            temporary = Path(file.name)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise DataError(f"cannot write the results file {path}: {error.strerror}") from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)
