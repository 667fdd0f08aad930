"""Image files: finding them, decoding them safely, and fitting them to a network's input with the geometry kept."""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from glob import glob
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from common.errors import ImageError, one_line

SUFFIXES = {".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"}
PADDING_GREY = 128  # about zero once the encoder has normalised it
_BOMBS = (Image.DecompressionBombWarning, Image.DecompressionBombError)
_DAMAGE = (OSError, SyntaxError, ValueError, RuntimeError, EOFError, LookupError, TypeError, struct.error, zlib.error)


@dataclass(frozen=True)
class Preprocessing:
    """How a picture becomes a network's input: the whole of it, nothing cut away.

    size: (height, width) of the input in pixels.
    fit: "squash" scales each side by itself; "pad" keeps the aspect and fills up with grey on two sides.
    """

    size: tuple[int, int]
    fit: Literal["squash", "pad"] = "squash"
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"

    def __post_init__(self) -> None:
        """See that it can be done.

        Raises:
            ValueError: it cannot.
        """
        if len(self.size) != 2 or not all(isinstance(side, int) and side > 0 for side in self.size):
            raise ValueError(f"an input's size is (height, width) in pixels, not {self.size!r}")

    def prepare(self, image: Image.Image) -> tuple[UInt8[Tensor, "3 H W"], Float[Tensor, "4"]]:
        """The input, and its view: the rectangle (x0, y0, x1, y1) of the picture that it covers (see `Grid.view`)."""
        height, width = self.size
        inner_width, inner_height = width, height
        if self.fit == "pad":
            scale = min(width / image.width, height / image.height)
            inner_width = max(1, round(image.width * scale))
            inner_height = max(1, round(image.height * scale))
        left, top = (width - inner_width) // 2, (height - inner_height) // 2
        scaled = image.resize((inner_width, inner_height), Image.Resampling[self.interpolation.upper()])
        pixels = np.full((height, width, 3), PADDING_GREY, dtype=np.uint8)
        pixels[top : top + inner_height, left : left + inner_width] = np.asarray(scaled)
        x0, y0 = -left / inner_width, -top / inner_height
        view = torch.tensor([x0, y0, x0 + width / inner_width, y0 + height / inner_height])
        return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), view


def load_image(path: str | Path) -> Image.Image:
    """The first frame of an image file as 8-bit RGB, upright (by its EXIF tag), transparency laid on white.

    Raises ImageError for a file that is missing, empty, damaged, no image, or larger than `PIL.Image.MAX_IMAGE_PIXELS`.
    """
    with _opened(Path(path)) as image:
        image.load()
        return _to_rgb(ImageOps.exif_transpose(image))


def image_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of an image file as `load_image` gives it: upright. Most formats need no decoding for that.

    Raises ImageError for a file that is missing, empty, no image, or too large.
    """
    with _opened(Path(path)) as image:
        width, height = image.size
        lies_on_its_side = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (height, width) if lies_on_its_side else (width, height)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """An open image file; what goes wrong with it until it is closed is told as an ImageError."""
    if not path.is_file():
        raise ImageError(f"image {path} {'is not a file' if path.exists() else 'does not exist'}")
    if path.stat().st_size == 0:
        raise ImageError(f"image {path} is an empty file")
    try:
        with warnings.catch_warnings():  # one line on stderr, or none: PIL warns of much that does no harm
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_formats()) as image:
                yield image
    except _BOMBS as error:
        limit = f"{Image.MAX_IMAGE_PIXELS:,}"
        raise ImageError(
            f"image {path} has more than {limit} pixels, the limit for safe decoding: scale it down"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(f"image {path} is not an image of a known format: {', '.join(_formats())}") from error
    except PermissionError as error:
        raise ImageError(f"image {path} may not be read: {error.strerror}") from error
    except _DAMAGE as error:
        raise ImageError(f"image {path} cannot be decoded (is it damaged?): {one_line(error)}") from error


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """The formats of `SUFFIXES` that this PIL decodes; what is in a file counts, not its name.

    Its others stay closed: little used is little tested, and EPS is a program, which PIL would let Ghostscript run.
    """
    Image.init()
    return tuple(sorted({Image.EXTENSION[suffix] for suffix in SUFFIXES & Image.EXTENSION.keys()} & Image.OPEN.keys()))


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return _to_eight_bits(image).convert("RGB")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")
    return image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Grey values of 16 bits, 32 bits or float, scaled: PIL's own conversion clips them to white or to black.

    White is 65535 for whole numbers, 1 or 255 for floats; the largest value where the picture exceeds these.
    """
    values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
    peak = values.max()
    whites = (1.0, 255.0) if image.mode == "F" else (65535.0,)
    white = next((white for white in whites if peak <= white), peak)
    black = min(0.0, values.min())
    return Image.fromarray(((values - black) * (255 / (white - black))).round().astype(np.uint8))


def find_images(pattern: str) -> list[Path]:
    """The image that `pattern` names, or those in the folder or matching the glob that it is, sorted.

    In a glob `**` reaches into folders inside folders. Raises ImageError where there are none.
    """
    path = Path(pattern).expanduser()
    if path.is_file():
        return [path]
    matches = path.iterdir() if path.is_dir() else map(Path, glob(str(path), recursive=True))
    found = sorted(p for p in matches if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file())
    if found:
        return found
    known = f"(known endings: {' '.join(sorted(SUFFIXES))})"
    if path.is_dir():
        raise ImageError(f"folder {path} holds no images {known}; for folders inside it give '{path}/**/*'")
    raise ImageError(f"no image is called or matches {pattern!r} {known}")
