"""Score a checkpoint on a data set: `python scripts/evaluate.py --checkpoint x.ckpt --config configs/vqa/scenes.yaml`.

The data come from the `data` section of the config files and options, as in training. Written to --out: the metrics as
JSON, and the captions or answers in the format of the COCO or VQA evaluation server.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import captioning.evaluation
import vqa.evaluation
from captioning.data import CaptioningData
from captioning.metrics import provenance
from captioning.module import CaptioningModule
from captioning.results import write_captions
from captioning.search import Search
from common.data.records import Prediction
from common.errors import ConfigError, run_script
from common.training.checkpoints import load_module, read_checkpoint
from common.training.composition import compose
from common.training.parts import build
from vqa.data import VQAData
from vqa.metrics import measures_for
from vqa.module import VQAModule
from vqa.results import write_answers
from vqa.wups import WupTable

Scores = dict[str, float]


def parse() -> tuple[argparse.Namespace, dict[str, Any]]:
    """The command line: our own options, and the data section of the experiment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", required=True)
    parser.add_argument("--split", choices=["train", "val", "test"], default="test")
    parser.add_argument(
        "--out", type=Path, help="folder for the files; default: evaluation-SPLIT beside the checkpoint"
    )
    parser.add_argument("--beam", type=int, help="captions followed at once; 1 is greedy search")
    parser.add_argument("--similarity", help="a table of word similarities (.npz), for WUPS")
    parser.add_argument("--device", default="cpu", help="such as cuda")
    options, rest = parser.parse_known_args()
    config = compose(rest)
    if "data" not in config:
        raise ConfigError("no data to evaluate on: give --config with the experiment's file, as for scripts/train.py")
    return options, config["data"]


def evaluate_captions(options: argparse.Namespace, data_part: Any) -> tuple[Scores, dict[str, str]]:
    """Scores of a captioner, and what they were made with."""
    module = load_module(options.checkpoint, CaptioningModule).to(options.device)
    data = build(data_part, CaptioningData)
    module.attach(data)
    search = Search(options.beam, module.search.longest) if options.beam else None
    predictions = captioning.evaluation.caption_all(module, data.loader(options.split), search)
    records = data.records(options.split)
    write_captions(options.out / "captions_results.json", texts(predictions), [record.image_id for record in records])
    scores = captioning.evaluation.score(records, predictions)
    return scores, provenance(scores, {record.image_id: record.captions for record in records})


def evaluate_answers(options: argparse.Namespace, data_part: Any) -> tuple[Scores, dict[str, str]]:
    """Scores of a VQA model, and what they were made with."""
    module = load_module(options.checkpoint, VQAModule).to(options.device)
    data = build(data_part, VQAData)
    module.attach(data)
    predictions = vqa.evaluation.answer_all(module, data.loader(options.split))
    records = data.records(options.split)
    asked = [record.question_id for record in records]
    write_answers(options.out / "answers_results.json", texts(predictions), asked)
    similarity = WupTable.load(options.similarity) if options.similarity else None
    measures = measures_for(records, similarity)
    return vqa.evaluation.score(records, predictions, measures), {"measures": ", ".join(measures)}


def texts(predictions: Mapping[int | str, Prediction]) -> dict[int | str, str]:
    """The texts alone."""
    return {key: prediction.text for key, prediction in predictions.items()}


def main() -> None:
    """Evaluate, print a table, write the files."""
    options, data = parse()
    options.out = options.out or Path(options.checkpoint).parent / f"evaluation-{options.split}"
    evaluate = {"captioning": evaluate_captions, "vqa": evaluate_answers}
    scores, made_with = evaluate[read_checkpoint(options.checkpoint)["saccade"]["task"]](options, data)
    metrics = {"checkpoint": options.checkpoint, "split": options.split, "scores": scores, "made with": made_with}
    (options.out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    width = max(map(len, scores))
    for name, value in scores.items():
        print(f"{name:<{width}}  {value:7.2f}")
    for name, source in made_with.items():
        print(f"{name}: {source}")
    print(f"written to {options.out}")


if __name__ == "__main__":
    run_script(main)
