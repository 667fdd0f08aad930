from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image
from PIL.Image import Resampling

from common.data.images import PADDING_GREY, Preprocessing, find_images, image_size, load_image
from common.errors import ImageError

RED, GREEN, WHITE = (255, 0, 0), (0, 255, 0), (255, 255, 255)


def noise(height: int, width: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def saved(image: Image.Image, path: Path, **options: object) -> Path:
    image.save(path, **options)
    return path


def pixel(path: Path, x: int, y: int) -> tuple[int, ...]:
    image = load_image(path)
    assert image.mode == "RGB"
    return image.getpixel((x, y))


# Decoding: what just works


def test_a_plain_picture_keeps_its_pixels(tmp_path: Path) -> None:
    picture = noise(7, 5)
    assert np.array_equal(load_image(saved(picture, tmp_path / "a.png")), picture)


def test_an_ending_that_lies_does_no_harm(tmp_path: Path) -> None:
    assert load_image(saved(noise(4, 4), tmp_path / "a.jpg", format="PNG")).size == (4, 4)


def test_cmyk_becomes_rgb(tmp_path: Path) -> None:
    path = saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "a.jpg", quality=95)
    assert pixel(path, 4, 4) == pytest.approx(RED, abs=3)


@pytest.mark.parametrize("name", ["a.png", "a.tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, name: str) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)  # 257 = 65535 / 255
    path = saved(Image.fromarray(values), tmp_path / name)
    assert [pixel(path, x, 0)[0] for x in range(4)] == [0, 1, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),  # white is 1
        ([0.0, 51.0, 200.0], [0, 51, 200]),  # white is 255
        ([0.0, 500.0, 1000.0], [0, 128, 255]),  # white is the largest value
        ([-1.0, 0.0, 1.0], [0, 128, 255]),  # black is the least
        ([0.0, float("nan"), 1.0], [0, 0, 255]),
        ([0.0, 0.0, 0.0], [0, 0, 0]),
    ],
)
def test_floats_are_scaled(tmp_path: Path, values: list[float], expected: list[int]) -> None:
    path = saved(Image.fromarray(np.array([values], dtype=np.float32)), tmp_path / "a.tiff")
    assert [pixel(path, x, 0)[0] for x in range(3)] == expected


def test_a_palette_becomes_rgb(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([*GREEN, *RED])
    picture.putpixel((1, 0), 1)
    path = saved(picture, tmp_path / "a.png")
    assert (pixel(path, 0, 0), pixel(path, 1, 0)) == (GREEN, RED)


def test_a_transparent_palette_colour_is_laid_on_white(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([*GREEN, *RED])
    picture.putpixel((1, 0), 1)
    path = saved(picture, tmp_path / "a.png", transparency=0)
    assert (pixel(path, 0, 0), pixel(path, 1, 0)) == (WHITE, RED)


@pytest.mark.parametrize(("mode", "colour"), [("RGBA", (255, 0, 0, 0)), ("LA", (0, 0))])
def test_transparency_is_laid_on_white(tmp_path: Path, mode: str, colour: tuple[int, ...]) -> None:
    assert pixel(saved(Image.new(mode, (2, 2), colour), tmp_path / "a.png"), 0, 0) == WHITE


def test_half_transparent_red_on_white_is_pink(tmp_path: Path) -> None:
    path = saved(Image.new("RGBA", (1, 1), (255, 0, 0, 128)), tmp_path / "a.png")
    assert pixel(path, 0, 0) == pytest.approx((255, 127, 127), abs=1)


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN)]
    options = {"lossless": True} if name.endswith("webp") else {}
    path = saved(frames[0], tmp_path / name, save_all=True, append_images=frames[1:], **options)
    assert pixel(path, 1, 1) == RED


@pytest.mark.parametrize("name", ["photo.jpg", "photo.png"])
@pytest.mark.parametrize("orientation", [None, *range(1, 9)])
def test_the_size_is_that_of_the_upright_picture(tmp_path: Path, name: str, orientation: int | None) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("RGB", (6, 4)).save(tmp_path / name, exif=exif)
    assert image_size(tmp_path / name) == load_image(tmp_path / name).size


def test_a_picture_taken_with_a_turned_camera_stands_upright(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 2), "black")
    picture.putpixel((0, 1), RED)  # lower left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    path = saved(picture, tmp_path / "a.png", exif=exif)
    assert load_image(path).size == (2, 4)
    assert pixel(path, 0, 0) == RED


@pytest.mark.parametrize("mode", ["1", "L", "LAB"])
def test_other_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    assert load_image(saved(Image.new(mode, (2, 2)), tmp_path / "a.tiff")).mode == "RGB"


# Decoding: what cannot


def fault(path: Path) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("content", [None, b"", b"<html>404</html>", b"\x89PNG\r\n\x1a\n"])
def test_a_size_that_cannot_be_read_is_told_as_for_decoding(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ImageError) as caught:
        image_size(tmp_path / "a.jpg")
    assert str(caught.value) == fault(tmp_path / "a.jpg")


def test_a_missing_image(tmp_path: Path) -> None:
    assert "does not exist" in fault(tmp_path / "a.jpg")


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    assert "is not a file" in fault(tmp_path)


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert "is an empty file" in fault(tmp_path / "a.jpg")


def test_a_file_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    assert "is not an image" in fault(tmp_path / "a.jpg")


def test_a_program_in_postscript_is_not_run_whatever_its_ending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.jpg").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n")
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was called"))
    assert "is not an image of a known format: AVIF, BMP, " in fault(tmp_path / "a.jpg")


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.webp", "a.bmp", "a.tiff"])
def test_a_truncated_image(tmp_path: Path, name: str) -> None:
    path = saved(noise(64, 64), tmp_path / name)
    path.write_bytes(path.read_bytes()[:-200])
    fault(path)


def test_an_enormous_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    path = saved(Image.new("1", (9460, 9460)), tmp_path / "a.png", compress_level=1)  # 12 kB on disk
    assert "more than 89,478,485 pixels" in fault(path)


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(noise(4, 4), tmp_path / "a.png")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)  # tests may run as root, whom no file refuses
    assert "Permission denied" in fault(path)


# Preprocessing


@pytest.mark.parametrize("size", [(0, 4), (4, -1)])
def test_a_size_that_is_none_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"an input's size is \(height, width\) in pixels, not "):
        Preprocessing(size)


def test_squashing_covers_the_whole_picture() -> None:
    pixels, view = Preprocessing((6, 9), "squash").prepare(noise(40, 30))
    assert pixels.shape == (3, 6, 9)
    assert pixels.dtype == torch.uint8
    assert view.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_squashing_is_pils_resize(interpolation: str) -> None:
    picture = noise(40, 30)
    pixels, _ = Preprocessing((16, 20), "squash", interpolation).prepare(picture)
    expected = np.asarray(picture.resize((20, 16), Resampling[interpolation.upper()]))
    assert np.array_equal(pixels.permute(1, 2, 0), expected)


def test_a_picture_of_the_right_size_is_left_alone() -> None:
    picture = noise(8, 8)
    assert np.array_equal(Preprocessing((8, 8), "pad").prepare(picture)[0].permute(1, 2, 0), picture)


@pytest.mark.parametrize(
    ("height", "width", "view"),
    [
        (10, 20, [0.0, -0.5, 1.0, 1.5]),  # wide: half a picture's height of grey above and below
        (20, 10, [-0.5, 0.0, 1.5, 1.0]),
        (20, 20, [0.0, 0.0, 1.0, 1.0]),
        (1, 4000, [0.0, -3.0, 1.0, 5.0]),  # too thin for a whole pixel: made one pixel high
    ],
)
def test_padding_keeps_the_aspect_and_the_view_tells_where_the_picture_lies(
    height: int, width: int, view: list[float]
) -> None:
    pixels, found = Preprocessing((8, 8), "pad").prepare(Image.new("RGB", (width, height), "red"))
    assert found.tolist() == pytest.approx(view)
    x0, y0, x1, y1 = view
    centres = (torch.arange(8) + 0.5) / 8
    across, down = x0 + (x1 - x0) * centres, y0 + (y1 - y0) * centres  # in fractions of the picture
    inside = ((down > 0) & (down < 1))[:, None] & ((across > 0) & (across < 1))
    expected = torch.where(inside, torch.tensor(RED)[:, None, None], PADDING_GREY)
    assert torch.equal(pixels.long(), expected)


@pytest.mark.parametrize("fit", ["squash", "pad"])
def test_a_spot_lands_where_the_view_says(fit: str) -> None:
    picture = Image.new("RGB", (300, 200))
    picture.paste(WHITE, (240, 40, 250, 50))  # centre (245, 45)
    pixels, view = Preprocessing((100, 100), fit).prepare(picture)
    rows, columns = torch.nonzero(pixels[0] > 200, as_tuple=True)
    x0, y0, x1, y1 = view.tolist()
    assert x0 + (x1 - x0) * (columns.float().mean().item() + 0.5) / 100 == pytest.approx(245 / 300, abs=0.005)
    assert y0 + (y1 - y0) * (rows.float().mean().item() + 0.5) / 100 == pytest.approx(45 / 200, abs=0.005)


# Finding


@pytest.fixture
def album(tmp_path: Path) -> Path:
    for name in ("b.JPG", "a.png", "notes.txt", ".hidden.png", "inner/c.webp", "odd[1].png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("", ["a.png", "b.JPG", "odd[1].png"]),
        ("*", ["a.png", "b.JPG", "odd[1].png"]),
        ("a.*", ["a.png"]),
        ("**/*", ["a.png", "b.JPG", "c.webp", "odd[1].png"]),
        ("odd[1].png", ["odd[1].png"]),  # a name before it is a glob
        ("notes.txt", ["notes.txt"]),  # named outright: decoding will tell
    ],
)
def test_images_are_found_by_file_folder_and_glob(album: Path, pattern: str, names: list[str]) -> None:
    assert [path.name for path in find_images(str(album / pattern))] == names


@pytest.mark.parametrize("pattern", ["none.png", "*.bmp", "none/"])
def test_a_pattern_that_finds_nothing_is_named(album: Path, pattern: str) -> None:
    with pytest.raises(ImageError, match="no image is called or matches"):
        find_images(str(album / pattern))


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=f"{tmp_path} holds no images"):
        find_images(str(tmp_path))
