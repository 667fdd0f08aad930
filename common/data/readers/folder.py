"""Pictures that nobody has described yet."""

from __future__ import annotations

import os
from dataclasses import dataclass

from common.data.images import find_images
from common.data.readers.sources import CaptionSource
from common.data.records import CaptionRecord


@dataclass(frozen=True)
class PictureFolder(CaptionSource):
    """The pictures of a folder, or those that match a glob, without captions: to be captioned, not to learn from.

    A picture's id is its path from the folder on that all of them are in: of a folder's pictures, their names.

    pictures: a folder, or a glob such as "photos/**/*.jpg". ImageError for one that has no pictures.
    """

    pictures: str

    def read(self) -> list[CaptionRecord]:
        paths = find_images(self.pictures)
        root = os.path.commonpath([path.parent for path in paths])
        return [CaptionRecord(path, path.relative_to(root).as_posix()) for path in paths]
