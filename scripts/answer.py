"""Answer a question about pictures: `scripts/answer.py --checkpoint x.ckpt --question "what colour is it ?" photo.jpg`.

Pictures are files, folders or globs; each question is put to each picture. The checkpoint holds all that is needed.
Facts are for models that read them: `--fact "Tom likes the circle." --facts knowledge.txt`, one a line. Choices are
answers to choose from: `--choice red --choice blue`. Several checkpoints answer together, by the mean of their
probabilities; --overlay then shows where the first of them looked, and says so.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from common.attention import AttentionMap, Words
from common.commands import Complaints, Parser, has_parts, whole_text
from common.data.pictures import Picture, batches, collate, read_pictures
from common.data.readers.checks import read_text
from common.data.records import Prediction
from common.data.tokenizer import tokenize
from common.errors import ConfigError, run_script
from common.explain.canvas import save_figure
from common.explain.files import OverlayNames
from common.explain.overlays import draw_answer, draw_parts
from common.files import writable_folder
from vqa.ensemble import VQAEnsemble, load_members
from vqa.module import VQAModule
from vqa.questions import Question


def parse() -> argparse.Namespace:
    """The command line."""
    parser = Parser(__doc__)
    parser.add_argument(
        "--checkpoint", required=True, action="append", help="a VQA model; given several times, they answer together"
    )
    parser.add_argument(
        "--question", action="append", required=True, type=whole_text, help="may be given several times"
    )
    for option, use in (("--fact", "to answer from"), ("--choice", "an answer to choose from")):
        parser.add_argument(option, action="append", default=[], type=whole_text, help=f"{use}; as often as need be")
    parser.add_argument("--facts", metavar="FILE", help="a text file with a fact on each line")
    parser.add_pictures()
    options = parser.parse_args()
    for text in (*options.fact, *options.choice):
        if not tokenize(text):
            raise ConfigError(f"{text!r} has no words: give some, or leave it out")
    if options.choice and len({tuple(tokenize(text)) for text in options.choice}) == 1:
        raise ConfigError(f"--choice {options.choice[0]!r} alone leaves nothing to choose: give two answers at least")
    return options


def read_questions(options: argparse.Namespace) -> list[Question]:
    """The questions, each with all facts and choices."""
    lines = read_text(options.facts).splitlines() if options.facts else []
    facts = (*options.fact, *(line.strip() for line in lines if line.strip()))
    return [Question(text, facts, tuple(options.choice)) for text in options.question]


def note_what_is_not_read(members: Sequence[VQAModule], questions: list[Question]) -> None:
    """Say on stderr what the model, or one of several, will not understand."""
    several = len(members) > 1
    reads_facts = any(member.model.reads_facts for member in members)
    for question in questions:
        if unknown := dict.fromkeys(word for member in members for word in member.unknown_words(question.text)):
            who = "one of the models" if several else "the model"
            print(f"note: {who} has not learned {', '.join(unknown)} in {question.text!r}", file=sys.stderr)
    if questions[0].facts and not reads_facts:
        who = "these models read" if several else "this model reads"
        print(f"note: the facts have no effect: {who} none", file=sys.stderr)
    if reads_facts and not questions[0].facts:
        who = "one of the models" if several else "this model"
        print(f"note: {who} answers from facts and has none: give --fact TEXT or --facts FILE", file=sys.stderr)


def answer(
    ensemble: VQAEnsemble, pictures: Sequence[Picture], questions: list[Question], drawn: bool
) -> list[list[Prediction]]:
    """Answers to the questions about each picture; where they are to be drawn, an ensemble's have its first member's
    maps, named as such: what one member sees in a region is not what moved another."""
    visuals = [collate(pictures, member.encoder).to(ensemble.device) for member in ensemble.members]
    asked = [questions] * len(pictures)
    found = ensemble.answer(visuals, asked)
    if not drawn or len(ensemble.members) == 1:
        return found
    looks = ensemble.members[0].answer(visuals[0], asked)
    return [
        [replace(given, maps=named_as_first(look.maps)) for given, look in zip(*of_picture, strict=True)]
        for of_picture in zip(found, looks, strict=True)
    ]


def named_as_first(maps: Mapping[str, AttentionMap]) -> dict[str, AttentionMap]:
    """The maps that are drawn, with a word at each level of whose they are."""
    return {
        name: replace(each, query_labels=tuple(f"first model: {label}" for label in each.query_labels))
        for name, each in maps.items()
        if not isinstance(each.key_layout, Words) or name == "question"
    }


def as_json(picture: Picture, question: str, prediction: Prediction, overlay: Path | None) -> str:
    """What machines want to know of an answer."""
    told = {
        "image": str(picture.path),
        "question": question,
        "answer": prediction.text,
        "probability": round(prediction.score, 4),
        "alternatives": [
            {"answer": other.text, "probability": round(other.score, 4)} for other in prediction.alternatives
        ],
        "overlay": overlay and str(overlay),
    }
    read = prediction.maps.get("facts")
    if read is not None and isinstance(read.key_layout, Words):
        pairs = zip(read.key_layout.labels, read.weights.mean(0).tolist(), strict=True)
        told["facts"] = [{"fact": fact, "weight": round(weight, 4)} for fact, weight in pairs]
    return json.dumps(told, ensure_ascii=False)


def show(
    picture: Picture, question: str, prediction: Prediction, overlay: Path | None, parts: bool, machine: bool
) -> None:
    """Draw an answer where wanted, and print it."""
    if overlay:
        save_figure(draw_answer(picture.image, question, prediction), overlay)
    if overlay and parts:
        figure = draw_parts(picture.image, prediction.maps["image, parts"])
        save_figure(figure, overlay.with_stem(f"{overlay.stem}-parts"))
    text = f"{picture.path}: {question} {prediction.text} ({prediction.score:.0%})"
    print(as_json(picture, question, prediction, overlay) if machine else text, flush=True)


def main() -> None:
    """Answer all questions about all pictures; exit code 2 if a picture could not be read."""
    options = parse()
    complaints = Complaints()
    overlays = OverlayNames(writable_folder(options.overlay), "answer", options.format) if options.overlay else None
    ensemble = VQAEnsemble(load_members(options.checkpoint, options.device))
    parts = has_parts(options, ensemble.members[0].model.part_axis)
    questions = read_questions(options)
    note_what_is_not_read(ensemble.members, questions)
    for pictures in batches(read_pictures(options.pictures, complaints), options.batch_size):
        found = answer(ensemble, pictures, questions, overlays is not None)
        for picture, predictions in zip(pictures, found, strict=True):
            for question, prediction in zip(options.question, predictions, strict=True):
                overlay = overlays.next(picture.path) if overlays else None
                show(picture, question, prediction, overlay, parts, options.json)
    complaints.exit_if_any()


if __name__ == "__main__":
    run_script(main)
