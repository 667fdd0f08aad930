"""Detected boxes as data of one's own: lines that `JsonlCaptions` and `JsonlQuestions` read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from common.attention.maps import DetectedBoxes
from common.data.features import FeatureCache
from common.data.images import image_size
from common.data.loading import Record
from common.data.records import CaptionRecord
from common.errors import ConfigError
from common.files import replacing


def write_box_lines(path: str | Path, records: Iterable[Record], cache: FeatureCache) -> tuple[int, Path]:
    """Write a line for each record whose picture is in the cache, with the boxes found there, their names and scores.

    Returns:
        How many lines, and the folder that the pictures' names in them start from.

    Raises:
        ConfigError: what is cached are no boxes with names.
        DataError: the file cannot be written.
    """
    known = [record for record in records if record.image in cache]
    root = Path(os.path.commonpath([os.path.abspath(record.image.parent) for record in known] or ["."]))
    with replacing(Path(path)) as draft, draft.open("w", encoding="utf-8") as file:
        for record in known:
            file.write(json.dumps(_line(record, root, cache), ensure_ascii=False) + "\n")
    return len(known), root


def _line(record: Record, root: Path, cache: FeatureCache) -> dict[str, Any]:
    width, height = image_size(record.image)
    line: dict[str, Any] = {"image": Path(os.path.abspath(record.image)).relative_to(root).as_posix()}
    if isinstance(record, CaptionRecord):
        line |= {"id": record.image_id, "captions": record.captions}
    else:
        line |= {"id": record.question_id, "question": record.question, "answers": record.answers}
    return line | {
        "types": record.types,
        "width": width,
        "height": height,
        "boxes": _boxes(record, cache, width, height),
    }


def _boxes(record: Record, cache: FeatureCache, width: int, height: int) -> list[dict[str, Any]]:
    layout = cache.get(record.image).layout
    if not isinstance(layout, DetectedBoxes):
        raise ConfigError("boxes with names come from a detector, and these features are of none")
    boxes = []
    for corners, score, kind in zip(layout.corners, layout.scores, layout.classes, strict=True):
        x0, y0, x1, y1 = (corners * corners.new_tensor([width, height, width, height])).tolist()
        bbox = [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]
        boxes.append({"bbox": bbox, "name": layout.names[int(kind)], "score": round(float(score), 4)})
    return boxes
