"""Caption pictures: `python scripts/caption.py --checkpoint x.ckpt photo.jpg holiday/ --overlay overlays`.

Pictures are files, folders or globs. The checkpoint holds all that is needed: no config, no data set. Several
checkpoints write together.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from captioning.ensemble import CaptioningEnsemble, load_ensemble
from common.commands import Complaints, Parser, has_parts
from common.data.pictures import Picture, batches, collate, read_pictures
from common.data.records import Prediction
from common.errors import ConfigError, run_script
from common.explain.canvas import save_figure
from common.explain.files import OverlayNames
from common.explain.overlays import draw_caption, draw_parts
from common.files import writable_folder
from common.search import Draws, Search
from common.search.options import add_search_options, search_of


def parse() -> argparse.Namespace:
    """The command line."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--checkpoint", required=True, action="append", help="a captioner; given several times, they write together"
    )
    add_search_options(parser)
    parser.add_pictures()
    return parser.parse_args()


def as_json(picture: Picture, prediction: Prediction, overlay: Path | None) -> str:
    """What machines want to know of the captions of a picture."""
    told = {"image": str(picture.path)} | as_plain(prediction)
    others = [as_plain(other) for other in prediction.alternatives]
    return json.dumps(told | {"alternatives": others, "overlay": overlay and str(overlay)}, ensure_ascii=False)


def as_plain(prediction: Prediction) -> dict[str, Any]:
    """One caption, how the search ranks it, and how likely each of its words and its end are."""
    likely = [round(math.exp(value), 4) for value in prediction.token_log_probs]
    return {"caption": prediction.text, "score": round(prediction.score, 4), "probabilities": likely}


def as_text(picture: Picture, prediction: Prediction) -> str:
    """A line for each caption, with its rank and score where there are several."""
    if not prediction.alternatives:
        return f"{picture.path}: {prediction.text}"
    ranked = enumerate((prediction, *prediction.alternatives), start=1)
    return "\n".join(f"{picture.path}: {rank}. {each.text} ({each.score:.2f})" for rank, each in ranked)


def draw(picture: Picture, prediction: Prediction, overlay: Path, parts: bool) -> None:
    """The picture with its attention; those of the alternatives beside it, numbered from 2."""
    for rank, each in enumerate((prediction, *prediction.alternatives), start=1):
        path = overlay if rank == 1 else overlay.with_stem(f"{overlay.stem}-rank-{rank}")
        save_figure(draw_caption(picture.image, each), path)
        if parts:
            save_figure(draw_parts(picture.image, each.maps["caption, parts"]), path.with_stem(f"{path.stem}-parts"))


def write(
    ensemble: CaptioningEnsemble, pictures: Sequence[Picture], search: Search | Draws, drawn: bool
) -> list[Prediction]:
    """Captions of a batch of pictures.

    Raises:
        ConfigError: they are to be drawn, and the captioners have no attention in common.
    """
    visuals = [collate(pictures, member.encoder).to(ensemble.device) for member in ensemble.members]
    predictions = ensemble.caption(visuals, search)
    if drawn and not all(prediction.maps for prediction in predictions):
        raise ConfigError("these captioners look at different regions, and have no map in common: leave --overlay out")
    return predictions


def main() -> None:
    """Caption all pictures; exit code 2 if one of them could not be read."""
    options = parse()
    complaints = Complaints()
    overlays = OverlayNames(writable_folder(options.overlay), "caption", options.format) if options.overlay else None
    ensemble = load_ensemble(options.checkpoint, options.device)
    parts = has_parts(options, ensemble.part_axis)
    search = search_of(options, ensemble.search)
    for pictures in batches(read_pictures(options.pictures, complaints), options.batch_size):
        predictions = write(ensemble, pictures, search, overlays is not None)
        for picture, prediction in zip(pictures, predictions, strict=True):
            overlay = overlays.next(picture.path) if overlays else None
            if overlay:
                draw(picture, prediction, overlay, parts)
            print(as_json(picture, prediction, overlay) if options.json else as_text(picture, prediction), flush=True)
    complaints.exit_if_any()


if __name__ == "__main__":
    run_script(main)
