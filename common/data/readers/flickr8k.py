"""Flickr8k's own text files: Hodosh et al. 2013, Framing image description as a ranking task."""

from __future__ import annotations

from dataclasses import dataclass

from common.data.readers.checks import ImageFolder, read_text, require_distinct, require_text
from common.data.readers.sources import CaptionSource
from common.data.records import CaptionRecord
from common.errors import DataError


@dataclass(frozen=True)
class Flickr8kCaptions(CaptionSource):
    """The captions of the images that a split names, in the split's order. (Flickr30k's token file has the same form.)

    tokens: Flickr8k.token.txt, with lines `name.jpg#0<TAB>caption`.
    split: Flickr_8k.{train,dev,test}Images.txt, one name a line.
    images: the folder of the images.
    """

    tokens: str
    split: str
    images: str

    def read(self) -> list[CaptionRecord]:
        captions = self._captions()
        folder = ImageFolder(self.images)
        records = []
        for number, line in enumerate(read_text(self.split).split("\n"), start=1):
            name = line.strip()
            if not name:
                continue
            where = f"{self.split}, line {number}"
            if name not in captions:
                raise DataError(f"{where} names the image {name!r}, which has no captions in {self.tokens}")
            records.append(CaptionRecord(folder.find(name, named_by=where), name, tuple(captions[name])))
        if not records:
            raise DataError(f"{self.split} names no images")
        require_distinct((record.image_id for record in records), "image", self.split)
        return records

    def _captions(self) -> dict[str, list[str]]:
        captions: dict[str, list[str]] = {}
        for number, line in enumerate(read_text(self.tokens).split("\n"), start=1):
            if not line.strip():
                continue
            key, tab, caption = line.partition("\t")
            name, mark, _ = key.rpartition("#")
            where = f"{self.tokens}, line {number}"
            if not (tab and mark):
                raise DataError(f"{where} is not of the form name.jpg#0<TAB>caption: {line[:40]!r}")
            captions.setdefault(name, []).append(require_text(caption, f"{where}: the caption"))
        return captions
