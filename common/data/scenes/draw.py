"""Drawing a scene with Pillow: soft shadows, shaded and textured objects with a dark rim, on a pale background.

Pillow alone, and integers wherever pixels are made, so that a seed gives the same bytes in every process.
"""

from __future__ import annotations

import math
import random

from PIL import Image, ImageDraw, ImageFilter

from common.data.scenes.levels import COLOURS
from common.data.scenes.world import Scene, SceneObject

SCALE = 4  # objects are drawn this many times larger and averaged down, against jagged edges
PAD = 3  # pixels around an object's box: room for the rim
BLUR = 2  # the shadow's blur in pixels; its patch needs three times as much room around the box
TINTS = ((236, 234, 228), (222, 229, 236), (226, 234, 224), (240, 229, 216), (232, 224, 234), (208, 212, 218))

Colour = tuple[int, int, int]


def _mix(a: Colour, b: Colour, share: float) -> Colour:
    """`share` of b in a."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


_RAMP = Image.linear_gradient("L").resize((128, 128))


def _background(scene: Scene, rng: random.Random) -> Image.Image:
    height, width = scene.image_size
    first, second = (Image.new("RGB", (width, height), tint) for tint in rng.sample(TINTS, 2))
    if scene.background == "plain":
        return first
    if scene.background == "grain":
        noise = Image.frombytes("L", (width, height), rng.randbytes(width * height))
        return Image.blend(first, Image.merge("RGB", (noise,) * 3), 0.09)
    if scene.background == "gradient":
        ramp = _RAMP.rotate(rng.randrange(0, 360, 15), Image.Resampling.BILINEAR)
        mask = ramp.crop((18, 18, 110, 110)).resize((width, height))
    else:
        mask = Image.frombytes("L", (5, 4), rng.randbytes(20)).resize((width, height), Image.Resampling.BICUBIC)
        second = Image.blend(second, Image.new("RGB", (width, height), (120, 130, 140)), 0.3)
    return Image.composite(first, second, mask)


def _strokes(canvas: Image.Image, count: int, rng: random.Random) -> None:
    """Faint arcs across the background."""
    width, height = canvas.size
    mask = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(mask)
    for _ in range(count):
        x, y, radius = rng.randrange(2 * width), rng.randrange(2 * height), rng.randrange(height // 3, height)
        start, span = rng.randrange(360), rng.randrange(40, 140)
        pen.arc((x - radius, y - radius, x + radius, y + radius), start, start + span, rng.randrange(40, 90), 3)
    canvas.paste((90, 95, 110), (0, 0), mask.reduce(2))


def _texture(pen: ImageDraw.ImageDraw, size: tuple[int, int], texture: str, colour: Colour) -> None:
    """Stripes or dots, lighter than the colour, over the whole of a patch that is SCALE times as large as drawn."""
    width, height = size
    light, period = _mix(colour, (255, 255, 255), 0.78), 7 * SCALE
    if texture == "striped":
        for x in range(-height, width, period):
            pen.line((x, height, x + height, 0), light, period // 3 + SCALE // 2)
    if texture == "dotted":
        radius = round(1.5 * SCALE)
        for row, y in enumerate(range(period // 4, height, period * 4 // 5)):
            for x in range(period // 4 + (row % 2) * period * 2 // 5, width, period * 4 // 5):
                pen.ellipse((x - radius, y - radius, x + radius, y + radius), light)


def _shade(patch: Image.Image) -> Image.Image:
    """Light from the upper left."""
    glow = _GLOW.resize(patch.size)
    shadow = _GLOOM.resize(patch.size)
    patch = Image.composite(Image.new("RGB", patch.size, (0, 0, 0)), patch, shadow)
    return Image.composite(Image.new("RGB", patch.size, (255, 255, 255)), patch, glow)


_FAINT = [v * 2 // 5 for v in range(256)]  # how dark a shadow is
# Alpha of the highlight (round, in the upper left) and of the gloom (towards the lower right).
_GLOW = Image.radial_gradient("L").resize((64, 64)).point(lambda v: max(0, 96 - v * 3 // 4)).crop((10, 12, 64, 64))
_GLOOM = Image.linear_gradient("L").resize((64, 64)).rotate(30).crop((12, 12, 52, 52)).point(lambda v: v // 5)


def _draw_object(canvas: Image.Image, thing: SceneObject, rng: random.Random) -> None:
    x0, y0, x1, y1 = thing.box
    left, top = math.floor(x0) - PAD, math.floor(y0) - PAD
    size = math.ceil(x1) + PAD - left, math.ceil(y1) + PAD - top
    large = size[0] * SCALE, size[1] * SCALE
    outline = [((x - left) * SCALE, (y - top) * SCALE) for x, y in thing.outline]
    jitter = rng.uniform(-0.07, 0.07)
    colour = _mix(COLOURS[thing.colour], (255, 255, 255) if jitter > 0 else (0, 0, 0), abs(jitter))

    mask = Image.new("L", large)
    ImageDraw.Draw(mask).polygon(outline, fill=255)
    mask = mask.reduce(SCALE)
    patch = Image.new("RGB", large, colour)
    pen = ImageDraw.Draw(patch)
    _texture(pen, large, thing.texture, colour)
    joint = "curve" if len(outline) < 16 else None  # costly, and not seen where corners are blunt
    pen.line([*outline, *outline[:2]], _mix(colour, (0, 0, 0), 0.42), round(2.4 * SCALE), joint)

    room = 3 * BLUR
    shadow = Image.new("L", (size[0] + 2 * room, size[1] + 2 * room))
    shadow.paste(mask, (room, room))
    shadow = shadow.filter(ImageFilter.GaussianBlur(BLUR)).point(_FAINT)
    canvas.paste((24, 26, 40), (left - room + 2, top - room + 3), shadow)
    canvas.paste(_shade(patch.reduce(SCALE)), (left, top), mask)


def draw(scene: Scene) -> Image.Image:
    """The picture of a scene, RGB."""
    rng = random.Random(scene.paint)
    canvas = _background(scene, rng)
    if scene.strokes:
        _strokes(canvas, scene.strokes, rng)
    for thing in scene.objects:
        _draw_object(canvas, thing, rng)
    return canvas
