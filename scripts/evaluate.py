"""Score a checkpoint on a data set: `python scripts/evaluate.py --checkpoint x.ckpt --config configs/vqa/scenes.yaml`.

The data come from the `data` section of the config files and options, as in training. Written to --out: the metrics as
JSON, and the captions or answers in the format of the COCO or VQA evaluation server (or --server's). Several processes
share the work: `torchrun --standalone --nproc-per-node 2 scripts/evaluate.py ...`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any, TypeVar, get_args

import captioning.evaluation
import vqa.ensemble
import vqa.evaluation
from captioning.data import CaptioningData
from captioning.ensemble import load_ensemble
from captioning.module import CaptioningModule
from captioning.results import write_captions
from captioning.scoring import add_scoring_options, describe, given_scoring_options, scoring_of
from common.commands import Parser
from common.data.records import Prediction
from common.errors import CheckpointError, ConfigError, run_script
from common.files import replacing, writable_folder
from common.search import Search
from common.search.options import add_search_options, given_search_options, search_of
from common.training.checkpoints import read_checkpoint
from common.training.cli import data_section
from common.training.parts import build
from common.training.sharing import first_goes_ahead, gathered, is_first, joined, own_device
from common.training.task import TaskModule
from vqa.confidences import write_confidences
from vqa.data import VQAData
from vqa.ensemble import VQAEnsemble, expected_gains, load_members, weighed_measures
from vqa.metrics import Version, measures_for, scored_with
from vqa.metrics.wups import Similarity, WupTable, wordnet_similarity
from vqa.module import VQAModule
from vqa.results import Form, write_for_server

D = TypeVar("D", CaptioningData, VQAData)
Told = dict[str, dict[str, Any]]  # the parts of metrics.json: scores, description, made with


def parse() -> tuple[argparse.Namespace, dict[str, Any]]:
    """The command line: our own options, and the data section of the experiment."""
    parser = Parser(__doc__)
    parser.usage = "%(prog)s --checkpoint FILE --config FILE [--config FILE ...] [--data.KEY VALUE ...] [options]"
    parser.add_argument(
        "--checkpoint",
        required=True,
        action="append",
        help="a captioner or a VQA model; several of one task write or answer together",
    )
    parser.add_argument("--split", choices=["train", "val", "test"], default="test", help="default test")
    parser.add_argument(
        "--weights", type=float, nargs="+", help="how much each --checkpoint of VQA models counts; default: the same"
    )
    parser.add_argument("--out", type=Path, help="default: the folder evaluation-SPLIT beside the checkpoint")
    add_search_options(parser)
    add_scoring_options(parser)
    parser.add_argument("--similarity", metavar="FILE", help="for WUPS of answers: similarities (.npz), or wordnet")
    parser.add_argument(
        "--expect",
        nargs="+",
        metavar="MEASURE[=WEIGHT]",
        help="give the answer of the greatest expected score in place of the likeliest one: accuracy, WUPS at 0.9 or "
        "at 0.0, or the mean of several, such as accuracy=32 0.0",
    )
    parser.add_argument(
        "--server", choices=get_args(Form), help="whose form the answers are written in; default vqa, as for OK-VQA"
    )
    parser.add_argument(
        "--version", choices=get_args(Version), help="of the official VQA script, for answers; default 2021"
    )
    parser.add_device()
    options, rest = parser.parse_known_args()
    data = data_section(rest, options)
    options.out = options.out or Path(options.checkpoint[0]).parent / f"evaluation-{options.split}"
    return options, data


def data_of_each(members: Sequence[TaskModule], data_part: Any, kind: type[D], split: str) -> list[D]:
    """The data, read once, for each model as it wants its pictures and words; a fault of the records shows first."""
    data = build(data_part, kind)
    data.records(split)
    of_each = [copy(data) for _ in members]
    with first_goes_ahead():
        for member, own in zip(members, of_each, strict=True):
            member.attach(own, (split,))
    return of_each


def evaluate_captions(options: argparse.Namespace, data_part: Any) -> Told:
    """Scores of a captioner, what its captions are like, and what the scores were made with."""
    for name in ("similarity", "expect", "weights", "server", "version"):
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name} is for answers, and this is a captioner's checkpoint: leave it out")
    ensemble = load_ensemble(options.checkpoint, options.device)
    search = search_of(options, ensemble.search)
    data = data_of_each(ensemble.members, data_part, CaptioningData, options.split)
    records = data[0].records(options.split)
    scoring = scoring_of(options, {record.image_id: record.image for record in records})
    loaders = [own.in_order(options.split) for own in data]
    found = captioning.evaluation.caption_together(ensemble, loaders, search)
    predictions = gathered(found, [record.image_id for record in records])
    if not is_first():
        return {}
    write_captions(options.out / "captions_results.json", texts(predictions), [record.image_id for record in records])
    if not any(record.captions for record in records):
        return {}
    scores = captioning.evaluation.score(records, predictions, scoring)
    longest = search.longest if isinstance(search, Search) else search.sampling.longest
    finished = [len(prediction.token_log_probs) <= longest for prediction in predictions.values()]
    return {
        "scores": scores,
        "description": describe(list(texts(predictions).values()), finished=finished),
        "made with": scoring.made_with(scores, {record.image_id: record.captions for record in records}),
    }


def load_answerers(options: argparse.Namespace, similarity: Similarity | None) -> VQAEnsemble:
    """The VQA models, told what an answer is worth where that is asked for."""
    measures = weighed_measures(options.expect or ())
    members = load_members(options.checkpoint, options.device, classes=True if measures else None)
    gains = expected_gains(members[0].answers, similarity, measures) if measures else None
    return VQAEnsemble(members, gains, options.weights)


def evaluate_answers(options: argparse.Namespace, data_part: Any) -> Told:
    """Scores of a VQA model, and what they were made with."""
    if given := given_search_options(options) + given_scoring_options(options):
        raise ConfigError(f"{given[0]} is for captions, and this is a VQA model's checkpoint: leave it out")
    similarity: Similarity | None = None
    if options.similarity:
        similarity = wordnet_similarity() if options.similarity == "wordnet" else WupTable.load(options.similarity)
    ensemble = load_answerers(options, similarity)
    data = data_of_each(ensemble.members, data_part, VQAData, options.split)
    records = data[0].records(options.split)
    found = vqa.ensemble.answer_together(ensemble, [own.in_order(options.split) for own in data])
    predictions = gathered(found, [record.question_id for asked in data[0].items(options.split) for record in asked])
    if not is_first():
        return {}
    write_for_server(options.out / "answers_results.json", predictions, records, options.server or "vqa")
    write_confidences(options.out / "answers_confidences.json", predictions)
    if not any(record.answers for record in records):
        return {}
    version: Version = options.version or "2021"
    measures = measures_for(records, similarity, version)
    scores = vqa.evaluation.score(records, predictions, measures)
    return {"scores": scores, "made with": scored_with(records, version) | told_to_choose(options)}


def told_to_choose(options: argparse.Namespace) -> dict[str, str]:
    """How answers were chosen, where that was told."""
    told = {"weights": [f"{weight:g}" for weight in options.weights or ()], "expected": options.expect or ()}
    return {name: " ".join(values) for name, values in told.items() if values}


EVALUATIONS = {CaptioningModule.task: evaluate_captions, VQAModule.task: evaluate_answers}


def texts(predictions: Mapping[int | str, Prediction]) -> dict[int | str, str]:
    """The texts alone."""
    return {key: prediction.text for key, prediction in predictions.items()}


def main() -> None:
    """Evaluate, print a table, write the files; of several processes, the first prints and writes."""
    options, data = parse()
    task = read_checkpoint(options.checkpoint[0])["saccade"].get("task")
    if task not in EVALUATIONS:
        raise CheckpointError(f"{options.checkpoint[0]} is a checkpoint for {task}, which cannot be evaluated here")
    writable_folder(options.out)
    with joined():
        options.device = own_device(options.device)
        told = EVALUATIONS[task](options, data)
        if not is_first():
            return
    checkpoint = options.checkpoint[0] if len(options.checkpoint) == 1 else options.checkpoint
    metrics = {"checkpoint": checkpoint, "split": options.split, "scores": {}, "made with": {}} | told
    with replacing(options.out / "metrics.json") as draft:
        draft.write_text(json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    numbers = told.get("scores", {}) | told.get("description", {})
    width = max(map(len, numbers), default=0)
    for name, value in numbers.items():
        print(f"{name:<{width}}  {value:7.2f}")
    for name, source in told.get("made with", {}).items():
        print(f"{name}: {source}")
    print(f"written to {options.out}" + ("" if told else "; the data have no truth to score against"))


if __name__ == "__main__":
    run_script(main)
