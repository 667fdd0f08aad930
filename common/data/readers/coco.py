"""COCO captions (2014 and 2017): Chen et al. 2015, https://arxiv.org/abs/1504.00325; and what is written like them."""

from __future__ import annotations

from dataclasses import dataclass

from common.data.readers.checks import ImageFolder, entries, named_boxes, read_json, require_distinct, require_text
from common.data.readers.sources import CaptionSource
from common.data.records import CaptionRecord
from common.errors import DataError


@dataclass(frozen=True)
class CocoCaptions(CaptionSource):
    """A COCO captions JSON; a list of images alone (a test set) gives records without captions.

    NoCaps (Agrawal et al. 2019, https://arxiv.org/abs/1812.08658) is written in the same way, and says of each image
    which `domain` it is of: captions are scored for each by itself.

    annotations: the JSON file: captions_val2017.json, image_info_test2014.json, nocaps_val_4500_captions.json, ...
    images: the folder that its `file_name`s start from, such as val2017.
    """

    annotations: str
    images: str

    def read(self) -> list[CaptionRecord]:
        document = read_json(self.annotations, ("COCO captions", "a COCO list of images"))
        folder = ImageFolder(self.images)
        images = list(entries(document, "images", ("id", "file_name"), self.annotations))
        require_distinct((image["id"] for image in images), "image", self.annotations)
        captions: dict[int | str, list[str]] = {image["id"]: [] for image in images}
        for entry in entries(document, "annotations", ("image_id", "caption"), self.annotations):
            where = f"{self.annotations}: caption {entry.get('id', '')} of image {entry['image_id']}"
            if entry["image_id"] not in captions:
                raise DataError(f"{where} is of an image that the file's list of images does not have")
            captions[entry["image_id"]].append(require_text(entry["caption"], where))
        records = []
        for image in images:
            where = f"{self.annotations}: image {image['id']}"
            path = folder.find(image["file_name"], named_by=where)
            domain = (require_text(image["domain"], f"{where}: its domain"),) if "domain" in image else ()
            boxes = named_boxes(image, where)
            records.append(CaptionRecord(path, image["id"], tuple(captions[image["id"]]), boxes, domain))
        return records
