"""Flickr8k's and Flickr30k's own text files: Hodosh et al. 2013; Young et al. 2014."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath

from common.data.readers.checks import ImageFolder, read_text, require_distinct, require_text
from common.data.readers.sources import CaptionSource
from common.data.records import CaptionRecord
from common.errors import DataError

_TOKEN = re.compile(r"(?P<name>[^\t]*)#[^\t#]*\t(?P<caption>.*)")
# One row of the file as it is published lacks the second mark.
_ROW = re.compile(r"(?P<name>[^|]+)\|\s*\d+\s*[|\s](?P<caption>.*)")


@dataclass(frozen=True)
class Flickr8kCaptions(CaptionSource):
    """The captions of the images that a split names, in the split's order.

    tokens: Flickr8k.token.txt, with lines `name.jpg#0<TAB>caption`.
    split: Flickr_8k.{train,dev,test}Images.txt, one name a line.
    images: the folder of the images.
    """

    tokens: str
    split: str
    images: str

    def read(self) -> list[CaptionRecord]:
        return _records(_captions(self.tokens, _TOKEN, "name.jpg#0<TAB>caption"), self.tokens, self.split, self.images)


@dataclass(frozen=True)
class Flickr30kCaptions(CaptionSource):
    """The captions of Flickr30k's images: those that a split names, in the split's order, or all.

    captions: results_20130124.token, with lines `name.jpg#0<TAB>caption`, or results.csv, `name.jpg| 0| caption`.
    images: the folder of the images.
    split: a file with one name a line, with or without its .jpg, such as train.txt of Flickr30k Entities. (Karpathy's
        splits come with the captions in one file: `KarpathyCaptions`.)
    """

    captions: str
    images: str
    split: str | None = None

    def read(self) -> list[CaptionRecord]:
        if PurePath(self.captions).suffix == ".csv":
            captions = _captions(self.captions, _ROW, "name.jpg| 0| caption", header="image_name|")
        else:
            captions = _captions(self.captions, _TOKEN, "name.jpg#0<TAB>caption")
        return _records(captions, self.captions, self.split, self.images)


def _captions(path: str, form: re.Pattern[str], example: str, header: str | None = None) -> dict[str, list[str]]:
    """The captions by image, in the order of the file; a first line that is the header need not be of the form."""
    captions: dict[str, list[str]] = {}
    for where, line in _lines(path):
        if header and not captions and line.startswith(header):
            continue
        parts = form.fullmatch(line)
        if not parts:
            raise DataError(f"{where} is not of the form {example}: {line[:40]!r}")
        captions.setdefault(parts["name"], []).append(require_text(parts["caption"], f"{where}: the caption"))
    if not captions:
        raise DataError(f"{path} has no captions")
    return captions


def _records(captions: dict[str, list[str]], path: str, split: str | None, images: str) -> list[CaptionRecord]:
    """A record for each name of the split, or for each image that has captions."""
    folder = ImageFolder(images)
    records = []
    for where, name in _lines(split) if split else ((path, name) for name in captions):
        name = name if name in captions else f"{name}.jpg"
        if name not in captions:
            raise DataError(f"{where} names the image {name.removesuffix('.jpg')!r}, which has no captions in {path}")
        records.append(CaptionRecord(folder.find(name, named_by=where), name, tuple(captions[name])))
    if not records:
        raise DataError(f"{split} names no images")
    require_distinct((record.image_id for record in records), "image", split or path)
    return records


def _lines(path: str) -> Iterator[tuple[str, str]]:
    """The lines that are not empty, each after where it is."""
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield f"{path}, line {number}", line.strip("\r\n ")
