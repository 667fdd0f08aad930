"""COCO caption results: `[{"image_id": 42, "caption": "a red ball"}, ...]`, one for each image."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from common.data.readers.checks import entries, read_json, require_text
from common.data.results import Id, check_ids, read_results, write_results
from common.errors import ConfigError, DataError
from common.files import replacing

KEYS = ("image_id", "caption")
SERVER_SETS = ("val2014", "test2014")  # both must be in what is handed in


def write_captions(path: str | Path, captions: Mapping[Id, str], expected: Collection[Id] | None = None) -> None:
    """Write captions by image id; raises DataError, and writes nothing, unless the ids are the expected ones."""
    write_results(path, captions, KEYS, expected)


def read_captions(path: str | Path) -> dict[Id, str]:
    """Captions by image id from a results file, of whatever model; raises DataError for any fault in it."""
    return read_results(path, [KEYS])[1]


def read_references(path: str) -> dict[Id, list[str]]:
    """The captions of each image in a COCO captions JSON, such as captions_val2017.json, without its images."""
    document = read_json(path, ("COCO captions",))
    references: dict[Id, list[str]] = {}
    for entry in entries(document, "annotations", KEYS, path):
        where = f"{path}: caption {entry.get('id', '')} of image {entry['image_id']}"
        references.setdefault(entry["image_id"], []).append(require_text(entry["caption"], where))
    return references


def read_image_ids(path: str) -> list[Id]:
    """The ids of the images that a COCO file lists: captions_val2014.json or image_info_test2014.json."""
    document = read_json(path, ("COCO captions", "a COCO list of images"))
    return [image["id"] for image in entries(document, "images", ("id",), path)]


def write_submission(
    path: Path, algorithm: str, captions: Mapping[str, Mapping[Id, str]], expected: Mapping[str, Collection[Id]]
) -> None:
    """Write the zip that the COCO caption server takes: captions_{val2014,test2014}_ALGORITHM_results.json.

    captions, expected: of each of the two sets, the captions by image id, and the ids that there must be.
    Raises ConfigError for a name of other signs than letters, digits and hyphens; DataError, and writes nothing, unless
    each image of both sets has a caption and each caption an image, by whole numbers.
    """
    if not re.fullmatch(r"[A-Za-z0-9-]+", algorithm):
        raise ConfigError(f"an algorithm's name may have letters, digits and hyphens only, not {algorithm!r}")
    files = {name: path.with_name(f"captions_{name}_{algorithm}_results.json") for name in SERVER_SETS}
    for name, file in files.items():
        if name not in captions:
            raise DataError(f"{path}: the server wants captions of {' and '.join(SERVER_SETS)}, and {name} is missing")
        check_ids(captions[name].keys(), expected[name], file)
        if wrong := [image for image in captions[name] if isinstance(image, bool) or not isinstance(image, int)]:
            raise DataError(f"{file}: the server knows images by whole numbers, not {wrong[0]!r}")
    for name, file in files.items():
        write_captions(file, captions[name], expected[name])
    with replacing(path) as draft, ZipFile(draft, "w", ZIP_DEFLATED) as archive:
        for file in files.values():
            archive.write(file, file.name)
