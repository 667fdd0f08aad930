"""Pictures as people have them: those that must work, and those that must be refused, with the reason."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

Write = Callable[[Path], object]
PLAIN = Image.linear_gradient("L").resize((60, 40)).convert("RGB")


def _rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the camera was held upright
    PLAIN.save(path, exif=exif)


def _truncated(path: Path) -> None:
    PLAIN.resize((600, 400)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _enormous(path: Path) -> None:
    """A PNG of a few bytes that says it is 100,000 pixels wide and high."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")))


WORKING: dict[str, Write] = {
    "plain.png": PLAIN.save,
    "cmyk.jpg": PLAIN.convert("CMYK").save,
    "sixteen_bits.png": Image.fromarray(np.full((40, 60), 40_000, np.uint16)).save,
    "palette.gif": PLAIN.convert("P").save,
    "animated.gif": lambda path: PLAIN.save(
        path, save_all=True, append_images=[PLAIN.transpose(Image.Transpose.ROTATE_180)]
    ),
    "rotated.jpg": _rotated,
    "transparent.png": Image.new("RGBA", (60, 40), (255, 0, 0, 0)).save,
    "one_pixel.png": Image.new("1", (1, 1)).save,
    "wide.png": Image.new("RGB", (3000, 2)).save,
}
REFUSED: dict[str, tuple[Write, str]] = {
    "truncated.jpg": (_truncated, "cannot be decoded (is it damaged?)"),
    "truncated.png": (_truncated, "cannot be decoded (is it damaged?)"),
    "empty.png": (Path.touch, "is an empty file"),
    "text.jpg": (lambda path: path.write_text("no picture"), "is not an image of a known format"),
    "enormous.png": (_enormous, "has more than"),
}
