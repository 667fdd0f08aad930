"""Caption pictures: `python scripts/caption.py --checkpoint x.ckpt photo.jpg holiday/ --overlay overlays`.

Pictures are files, folders or globs. The checkpoint holds all that is needed: no config, no data set.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

from captioning.module import CaptioningModule
from captioning.search import Search
from common.data.pictures import Picture, batches, collate, read_pictures
from common.data.records import Prediction
from common.errors import EXIT_BAD_INPUT, SaccadeError, run_script
from common.explain.canvas import save_figure
from common.explain.overlays import draw_caption
from common.training.checkpoints import load_module


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", help="files, folders or globs")
    parser.add_argument("--checkpoint", required=True, help="a captioner, as written by scripts/train.py")
    parser.add_argument("--overlay", type=Path, metavar="FOLDER", help="write each picture with its attention there")
    parser.add_argument("--format", choices=["png", "pdf", "svg"], default="png", help="of the overlays")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    parser.add_argument("--beam", type=int, default=None, help="captions followed at once; 1 is greedy search")
    parser.add_argument("--longest", type=int, default=None, help="the most words of a caption")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cpu", help="such as cuda")
    return parser.parse_args()


def as_json(picture: Picture, prediction: Prediction) -> str:
    """What machines want to know of a caption."""
    return json.dumps(
        {
            "image": str(picture.path),
            "caption": prediction.text,
            "score": round(prediction.score, 4),
            "probabilities": [round(math.exp(value), 4) for value in prediction.token_log_probs],
            "alternatives": [{"caption": text, "score": round(score, 4)} for text, score in prediction.alternatives],
        },
        ensure_ascii=False,
    )


def main() -> None:
    """Caption all pictures; exit code 2 if one of them could not be read."""
    options = parse()
    complaints: list[SaccadeError] = []

    def complain(error: SaccadeError) -> None:
        complaints.append(error)
        print(f"error: {error}", file=sys.stderr)

    module = load_module(options.checkpoint, CaptioningModule).to(options.device)
    chosen = {"beam": options.beam, "longest": options.longest}
    search = Search(**{**vars(module.search), **{name: value for name, value in chosen.items() if value is not None}})
    for pictures in batches(read_pictures(options.pictures, complain), options.batch_size):
        visual = collate(pictures, module.encoder.preprocessing).to(options.device)
        for picture, prediction in zip(pictures, module.caption(visual, search), strict=True):
            print(as_json(picture, prediction) if options.json else f"{picture.path}: {prediction.text}", flush=True)
            if options.overlay:
                target = options.overlay / f"{picture.path.stem}.{options.format}"
                save_figure(draw_caption(picture.image, prediction), target)
    if complaints:
        sys.exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    run_script(main)
