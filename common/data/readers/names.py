"""What the image files of other data sets' pictures are called."""

from __future__ import annotations

from collections.abc import Sequence

from common.errors import DataError


def coco_names(image_id: object, splits: Sequence[str], where: str) -> tuple[str, ...]:
    """What a COCO image of one of these splits may be called: COCO_val2014_000000000042.jpg, or since 2017
    000000000042.jpg, by itself or in the split's own folder.
    """
    if not isinstance(image_id, int):
        raise DataError(f"{where} has the image id {image_id!r} where COCO has a whole number")
    number = f"{image_id:012d}.jpg"
    names = [f"COCO_{split}_{number}" for split in splits]
    return (
        *names,
        number,
        *(f"{split}/{name}" for split, own in zip(splits, names, strict=True) for name in (own, number)),
    )
