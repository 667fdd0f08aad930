"""Answer a question about pictures: `scripts/answer.py --checkpoint x.ckpt --question "what colour is it ?" photo.jpg`.

Pictures are files, folders or globs; each question is put to each picture. The checkpoint holds all that is needed.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from common.data.pictures import Picture, batches, collate, read_pictures
from common.data.records import Prediction
from common.errors import EXIT_BAD_INPUT, SaccadeError, run_script
from common.explain.canvas import save_figure
from common.explain.overlays import draw_answer
from common.training.checkpoints import load_module
from vqa.module import VQAModule


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", nargs="+", help="files, folders or globs")
    parser.add_argument("--checkpoint", required=True, help="a VQA model, as written by scripts/train.py")
    parser.add_argument("--question", action="append", required=True, help="may be given several times")
    parser.add_argument("--overlay", type=Path, metavar="FOLDER", help="write each picture with its attention there")
    parser.add_argument("--format", choices=["png", "pdf", "svg"], default="png", help="of the overlays")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--device", default="cpu", help="such as cuda")
    return parser.parse_args()


def as_json(picture: Picture, question: str, prediction: Prediction) -> str:
    """What machines want to know of an answer."""
    return json.dumps(
        {
            "image": str(picture.path),
            "question": question,
            "answer": prediction.text,
            "probability": round(prediction.score, 4),
            "alternatives": [{"answer": text, "probability": round(p, 4)} for text, p in prediction.alternatives],
        },
        ensure_ascii=False,
    )


def show(picture: Picture, number: int, question: str, prediction: Prediction, options: argparse.Namespace) -> None:
    """Print an answer, and draw it where wanted."""
    if options.json:
        print(as_json(picture, question, prediction), flush=True)
    else:
        print(f"{picture.path}: {question} {prediction.text} ({prediction.score:.0%})", flush=True)
    if options.overlay:
        suffix = f"-{number + 1}" if len(options.question) > 1 else ""
        target = options.overlay / f"{picture.path.stem}{suffix}.{options.format}"
        save_figure(draw_answer(picture.image, question, prediction), target)


def main() -> None:
    """Answer all questions about all pictures; exit code 2 if a picture could not be read."""
    options = parse()
    complaints: list[SaccadeError] = []

    def complain(error: SaccadeError) -> None:
        complaints.append(error)
        print(f"error: {error}", file=sys.stderr)

    module = load_module(options.checkpoint, VQAModule).to(options.device)
    for question in options.question:
        if unknown := module.unknown_words(question):
            print(f"note: the model has not learned {', '.join(unknown)} in {question!r}", file=sys.stderr)
    for pictures in batches(read_pictures(options.pictures, complain), options.batch_size):
        visual = collate(pictures, module.encoder.preprocessing).to(options.device)
        found = module.answer(visual, [options.question] * len(pictures))
        for picture, predictions in zip(pictures, found, strict=True):
            for number, (question, prediction) in enumerate(zip(options.question, predictions, strict=True)):
                show(picture, number, question, prediction, options)
    if complaints:
        sys.exit(EXIT_BAD_INPUT)


if __name__ == "__main__":
    run_script(main)
