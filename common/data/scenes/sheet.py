"""A contact sheet: scenes from a written folder with their captions and questions."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

from PIL import Image, ImageDraw

ROWS, COLUMNS = 4, 3
ZOOM = 2
LINE = 13  # height of a line of text in pixels
TEXT_WIDTH = 330


def contact_sheet(root: Path, split: str) -> Image.Image:
    """The first scenes of a split, enlarged, each beside its captions and questions with answers."""
    told = json.loads((root / f"captions_{split}.json").read_text())
    asked = json.loads((root / f"questions_{split}.json").read_text())["questions"]
    answers = json.loads((root / f"annotations_{split}.json").read_text())["annotations"]
    texts: defaultdict[int, list[str]] = defaultdict(list)
    for caption in told["annotations"]:
        texts[caption["image_id"]].append(caption["caption"])
    for question, answer in zip(asked, answers, strict=True):
        texts[question["image_id"]].append(f"{question['question']} {answer['multiple_choice_answer']}")

    images = told["images"][: ROWS * COLUMNS]
    width = images[0]["width"] * ZOOM + TEXT_WIDTH
    height = max(images[0]["height"] * ZOOM, LINE * max(len(texts[image["id"]]) for image in images)) + 12
    sheet = Image.new("RGB", (width * COLUMNS, height * ROWS), "white")
    pen = ImageDraw.Draw(sheet)
    for cell, image in enumerate(images):
        x, y = cell % COLUMNS * width, cell // COLUMNS * height
        with Image.open(root / "images" / split / image["file_name"]) as picture:
            sheet.paste(
                picture.resize((image["width"] * ZOOM, image["height"] * ZOOM), Image.Resampling.LANCZOS), (x, y)
            )
        text = "\n".join(texts[image["id"]])
        pen.multiline_text((x + image["width"] * ZOOM + 8, y + 2), text, "black", spacing=2)
    return sheet
