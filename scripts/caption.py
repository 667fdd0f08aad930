"""Caption pictures: `python scripts/caption.py --checkpoint x.ckpt photo.jpg holiday/ --overlay overlays`.

Pictures are files, folders or globs. The checkpoint holds all that is needed: no config, no data set.
"""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

from captioning.module import CaptioningModule
from common.commands import Complaints, Parser, at_least_one, has_parts
from common.data.pictures import Picture, batches, collate, read_pictures
from common.data.records import Prediction
from common.errors import run_script
from common.explain.canvas import save_figure
from common.explain.files import OverlayNames
from common.explain.overlays import draw_caption, draw_parts
from common.files import writable_folder
from common.training.checkpoints import load_module


def parse() -> argparse.Namespace:
    """The command line."""
    parser = Parser(__doc__)
    parser.add_argument("--checkpoint", required=True, help="a captioner, as written by scripts/train.py")
    parser.add_argument("--beam", type=at_least_one, metavar="N", help="captions followed at once; 1 is greedy search")
    parser.add_argument("--longest", type=at_least_one, metavar="N", help="the most words of a caption")
    parser.add_pictures()
    return parser.parse_args()


def as_json(picture: Picture, prediction: Prediction, overlay: Path | None) -> str:
    """What machines want to know of a caption."""
    return json.dumps(
        {
            "image": str(picture.path),
            "caption": prediction.text,
            "score": round(prediction.score, 4),
            "probabilities": [round(math.exp(value), 4) for value in prediction.token_log_probs],
            "alternatives": [{"caption": text, "score": round(score, 4)} for text, score in prediction.alternatives],
            "overlay": overlay and str(overlay),
        },
        ensure_ascii=False,
    )


def show(picture: Picture, prediction: Prediction, overlay: Path | None, parts: bool, machine: bool) -> None:
    """Draw a caption where wanted, and print it."""
    if overlay:
        save_figure(draw_caption(picture.image, prediction), overlay)
    if overlay and parts:
        figure = draw_parts(picture.image, prediction.maps["caption, parts"])
        save_figure(figure, overlay.with_stem(f"{overlay.stem}-parts"))
    print(as_json(picture, prediction, overlay) if machine else f"{picture.path}: {prediction.text}", flush=True)


def main() -> None:
    """Caption all pictures; exit code 2 if one of them could not be read."""
    options = parse()
    complaints = Complaints()
    overlays = OverlayNames(writable_folder(options.overlay), "caption", options.format) if options.overlay else None
    module = load_module(options.checkpoint, CaptioningModule).to(options.device)
    parts = has_parts(options, module.decoder.part_axis)
    chosen = {"beam": options.beam, "longest": options.longest}
    search = replace(module.search, **{name: value for name, value in chosen.items() if value is not None})
    for pictures in batches(read_pictures(options.pictures, complaints), options.batch_size):
        visual = collate(pictures, module.encoder).to(options.device)
        for picture, prediction in zip(pictures, module.caption(visual, search), strict=True):
            overlay = overlays.next(picture.path) if overlays else None
            show(picture, prediction, overlay, parts, options.json)
    complaints.exit_if_any()


if __name__ == "__main__":
    run_script(main)
