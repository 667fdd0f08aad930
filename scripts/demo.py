"""The whole of Saccade in a few minutes: draw scenes, train both tasks, evaluate, write runs/demo/index.html."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import captioning.evaluation
import vqa.evaluation
from captioning.data import CaptioningData
from captioning.module import CaptioningModule
from captioning.scoring import Scoring
from common.commands import Parser
from common.data.images import load_image
from common.data.records import CaptionRecord, Prediction, VQARecord
from common.errors import run_script
from common.explain.report import Example, Score, write_report
from common.training.checkpoints import load_module
from common.training.cli import TrainingCLI
from common.training.composition import compose
from common.training.parts import build
from vqa.answers import most_common_answer
from vqa.data import VQAData
from vqa.module import VQAModule

FOLDER = Path("runs/demo")
CAPTIONING = ["--config", "configs/captioning/scenes_demo.yaml"]
VQA = [
    "--config",
    "configs/vqa/scenes_demo.yaml",
    "--model.init_args.encoder_weights",
    f"{FOLDER}/captioning/best.ckpt",
]
QUESTION_ONLY = [*VQA, "--config", "configs/vqa/question_only.yaml", "--data.init_args.loading.batch_size", "64"]
SHOWN = 12  # examples of each task in the report
INTRODUCTION = (
    "One image encoder, trained from scratch with the captioner (Show, Attend and Tell) and taken over by the VQA "
    "model (hierarchical co-attention), on drawn scenes whose objects and boxes are known. All pictures are held out. "
    "Point at a word, or move to it with the keyboard, to see where the model looked."
)

Scores = Mapping[str, float]


def train(name: str, options: Sequence[str]) -> Path:
    """Train an experiment into the demo's folder; its best checkpoint."""
    print(f"\n== {name}", flush=True)
    TrainingCLI(["fit", *options, "--folder", str(FOLDER / name)])
    return FOLDER / name / "best.ckpt"


def caption_test_scenes(checkpoint: Path) -> tuple[Scores, list[Example]]:
    """Scores of the captioner, and its first captions."""
    module = load_module(checkpoint, CaptioningModule)
    data = build(compose(CAPTIONING)["data"], CaptioningData)
    module.attach(data)
    records = data.records("test")
    predictions = captioning.evaluation.caption_all(module, data.loader("test"))
    scores = captioning.evaluation.score(records, predictions, Scoring(meteor=False))
    return scores, [caption_example(record, predictions[record.image_id]) for record in records[:SHOWN]]


def caption_example(record: CaptionRecord, prediction: Prediction) -> Example:
    """A caption as the report shows it."""
    return Example(load_image(record.image), prediction, references=record.captions)


def answer_test_questions(checkpoint: Path) -> tuple[Scores, list[Example]]:
    """Scores of a VQA model, and its first answers, of all types of questions."""
    module = load_module(checkpoint, VQAModule)
    data = build(compose(VQA)["data"], VQAData)
    module.attach(data)
    records = data.records("test")
    predictions = vqa.evaluation.answer_all(module, data.loader("test"))
    scores = vqa.evaluation.score(records, predictions)
    shown = [asked[index % len(asked)] for index, asked in enumerate(data.items("test")[:SHOWN])]
    return scores, [answer_example(record, predictions[record.question_id]) for record in shown]


def answer_example(record: VQARecord, prediction: Prediction) -> Example:
    """An answer as the report shows it."""
    truth = most_common_answer(record.answers)
    return Example(load_image(record.image), prediction, record.question, (truth,), prediction.text == truth)


def percent(value: float) -> str:
    """With a space that does not break."""
    return f"{value:.1f}\N{NO-BREAK SPACE}%"


def pointing(scores: Scores) -> Score:
    """How often the attention's peak lies in the right object's box, beside the baselines."""
    if "pointing" not in scores:
        return Score("Pointing game", "–", "nothing that is in the pictures was named")
    centre, uniform = scores["pointing, centre of the picture"], scores["pointing, uniform"]
    note = (
        f"peak of the attention in the right box; centre of the picture {percent(centre)}, uniform {percent(uniform)}"
    )
    return Score("Pointing game", percent(scores["pointing"]), note)


def main() -> None:
    """Train, evaluate, report."""
    Parser(__doc__).parse_args()
    start = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    captioner = train("captioning", CAPTIONING)
    answerer = train("vqa", VQA)
    blind = train("question_only", QUESTION_ONLY)
    print("\n== evaluation on held-out scenes", flush=True)
    captions, caption_examples = caption_test_scenes(captioner)
    answers, answer_examples = answer_test_questions(answerer)
    without_picture, _ = answer_test_questions(blind)
    scores = {
        "Captions": [
            Score("CIDEr-D", f"{captions['CIDEr-D']:.1f}", f"BLEU-4 {captions['BLEU-4']:.1f}"),
            Score(
                "Named pairs", percent(captions["named pairs in the picture"]), "(colour, shape) pairs that are there"
            ),
            pointing(captions),
        ],
        "Answers": [
            Score("Accuracy", percent(answers["accuracy"]), f"question only {percent(without_picture['accuracy'])}"),
            pointing(answers),
        ],
    }
    page = FOLDER / "index.html"
    write_report(
        page, "Saccade: demo", INTRODUCTION, scores, {"Captions": caption_examples, "Answers": answer_examples}
    )
    for section, items in scores.items():
        for item in items:
            print(f"{section:<9} {item.name:<14} {item.value:>8}   {item.note}")
    print(f"\n{(time.monotonic() - start) / 60:.1f} minutes; now open {page}")


if __name__ == "__main__":
    run_script(main)
