"""Karpathy's splits of COCO, Flickr8k and Flickr30k: Karpathy and Fei-Fei 2015, https://arxiv.org/abs/1412.2306."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from common.data.readers.checks import ImageFolder, entries, read_json, require, require_distinct, require_text
from common.data.readers.sources import CaptionSource
from common.data.records import CaptionRecord
from common.errors import ConfigError, DataError


@dataclass(frozen=True)
class KarpathyCaptions(CaptionSource):
    """The images of some splits of a Karpathy JSON, with their captions.

    An image's id is its `cocoid` in COCO's file and its file name in Flickr's, as in these datasets' own files.

    annotations: dataset_coco.json, dataset_flickr8k.json or dataset_flickr30k.json.
    images: the folder of the images; for COCO the one that has train2014 and val2014 in it, or train2017 and val2017,
        which hold the same pictures divided otherwise and under other names.
    splits: "train", "val", "test", and in COCO's file "restval", which most papers train on besides "train".
    """

    annotations: str
    images: str
    splits: list[str]

    def read(self) -> list[CaptionRecord]:
        document = read_json(self.annotations, ("a Karpathy split",))
        images = list(entries(document, "images", ("filename", "split", "sentences"), self.annotations))
        known = {image["split"] for image in images}
        unknown = [split for split in self.splits if split not in known]
        if unknown or not self.splits:
            wanted = f"no split {unknown[0]!r}" if unknown else "no split to read"
            raise ConfigError(f"{self.annotations} has {wanted}; it has {', '.join(sorted(known))}")
        folder = ImageFolder(self.images)
        records = []
        for image in images:
            if image["split"] not in self.splits:
                continue
            where = f"{self.annotations}: image {image['filename']}"
            captions = []
            for sentence in image["sentences"]:
                require(sentence, ("raw",), f"{where}, a sentence")
                captions.append(require_text(sentence["raw"], f"{where}: a caption"))
            path = folder.find(*_names(image, where), named_by=where)
            image_id = image["cocoid" if "cocoid" in image else "filename"]
            records.append(CaptionRecord(path, image_id, tuple(captions)))
        require_distinct((record.image_id for record in records), "image", self.annotations)
        return records


def _names(image: dict[str, Any], where: str) -> tuple[str, ...]:
    """What the image's file may be called: as the JSON has it, without the folder, and as COCO calls it since 2017."""
    name = image["filename"]
    if "cocoid" not in image:
        return (f"{image['filepath']}/{name}", name) if "filepath" in image else (name,)
    if not isinstance(image["cocoid"], int):
        raise DataError(f"{where} has the cocoid {image['cocoid']!r} where COCO has a whole number")
    since = f"{image['cocoid']:012d}.jpg"
    return f"{image.get('filepath', '.')}/{name}", name, f"train2017/{since}", f"val2017/{since}", since
