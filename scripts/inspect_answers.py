"""See what answers tell of a model: `scripts/inspect_answers.py --answers answers_confidences.json --config x.yaml`.

The answers are those that scripts/evaluate.py writes, or any VQA results file; the questions come from the `data`
section of the config files and options. Printed and written to --out: accuracy by type and, with the answers of a model
that sees the question alone (--blind), what the picture adds to it; how far confidences can be trusted; and the surest
mistakes, each with the training questions that are most like it, by TF-IDF of their words. With --compare, the answers
of another model to the same questions: what differs, the 95 % intervals, and whether it may be chance.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.commands import Parser, at_least_one
from common.data.records import VQARecord
from common.errors import run_script
from common.explain.canvas import save_figure
from common.files import replacing, telling_names, writable_folder
from common.measures import compare, comparison_table
from common.statistics import mcnemar
from common.training.cli import data_section
from common.training.parts import build
from vqa.confidences import Answers, read_answers
from vqa.data import VQAData
from vqa.figures import draw_confidence, draw_confusions
from vqa.insight import Mistake, NearestQuestions, Neighbour, PriorGap, confusions, prior_gaps, surest_mistakes
from vqa.metrics import by_type, measure_answers, measures_for, score_confidences, score_each

RIGHT = 0.5  # the score from which an answer is right to McNemar's test
SHOWN_ANSWERS = 4  # of a training question


def parse() -> tuple[argparse.Namespace, Any]:
    """The command line: our own options, and the data section of the experiment."""
    parser = Parser(__doc__)
    parser.usage = "%(prog)s --answers FILE --config FILE [--config FILE ...] [--data.KEY VALUE ...] [options]"
    parser.add_argument("--answers", required=True, metavar="FILE", help="a VQA results file, best with confidences")
    parser.add_argument("--blind", metavar="FILE", help="the answers of a question-only model to the same questions")
    parser.add_argument("--compare", metavar="FILE", help="the answers of another model to the same questions")
    parser.add_argument("--split", choices=["train", "val", "test"], default="test", help="default test")
    parser.add_argument("--out", type=Path, help="default: the folder `insight` beside the answers")
    parser.add_argument("--mistakes", type=at_least_one, default=10, metavar="N", help="how many to show; default 10")
    parser.add_argument("--neighbours", type=at_least_one, default=3, metavar="N", help="of each; default 3")
    parser.add_argument("--format", choices=["png", "pdf", "svg"], default="png", help="of the figures")
    options, rest = parser.parse_known_args()
    data = data_section(rest, options)
    options.out = options.out or Path(options.answers).parent / "insight"
    return options, data


def scores_of(answers: Answers, records: Sequence[VQARecord]) -> list[float]:
    """The accuracy of each answer, in 0..1."""
    return score_each(answers.texts, records, measures_for(records)["accuracy"])


def tell_differences(
    answers: Answers, other: Answers, records: Sequence[VQARecord], names: Sequence[str]
) -> dict[str, Any]:
    """Print how two models differ; the same for machines. McNemar's test takes a score of a half on for right."""
    ours, theirs = (measure_answers(each.texts, records) for each in (answers, other))
    differences = compare(ours, theirs)
    print(f"\n{comparison_table(differences, *names)}")
    right = [[score >= RIGHT for score in scores_of(each, records)] for each in (answers, other)]
    test = mcnemar(*right)
    alone = f"{test.only_first} and {test.only_second}"
    print(f"right alone, with a score from {RIGHT:g} on: {alone}; p {test.p_value:.4f} by McNemar's test")
    return {"differences": {name: asdict(each) for name, each in differences.items()}, "McNemar": test._asdict()}


def print_table(rows: Sequence[PriorGap], blind: bool) -> None:
    """Accuracy by type, beside what the question alone gives."""
    width = max(len(row.kind) for row in rows)
    print(f"{'':<{width}}  accuracy" + ("  question only     gap" if blind else ""))
    for row in rows:
        beside = f"  {row.blind:13.2f}  {row.gap:+6.2f}" if blind else ""
        print(f"{row.kind:<{width}}  {row.seeing:8.2f}{beside}")


def describe(neighbour: Neighbour) -> str:
    """A training question in a line."""
    answers = ", ".join(f"{answer} {count}" for answer, count in neighbour.answers[:SHOWN_ANSWERS])
    rest = ", ..." if len(neighbour.answers) > SHOWN_ANSWERS else ""
    return f"{neighbour.likeness:.2f}  {neighbour.question}  {answers}{rest}"


def print_mistakes(mistakes: Sequence[Mistake], nearest: NearestQuestions, most: int) -> list[dict[str, Any]]:
    """Each with its neighbours; the same for machines."""
    told = []
    print("\nsurest mistakes, and the training questions most like them (TF-IDF of words) with their answers:")
    for mistake in mistakes:
        neighbours = nearest.find(mistake.record.question, most)
        print(f"{mistake.record.question} {mistake.answer} ({mistake.confidence:.0%}), truth {mistake.truth}")
        for neighbour in neighbours:
            print(f"    {describe(neighbour)}")
        told.append(
            {
                "question_id": mistake.record.question_id,
                "question": mistake.record.question,
                "answer": mistake.answer,
                "confidence": mistake.confidence,
                "truth": mistake.truth,
                "neighbours": [asdict(neighbour) for neighbour in neighbours],
            }
        )
    return told


def main() -> None:
    """Print tables, draw figures, write the same as JSON."""
    options, data_part = parse()
    data = build(data_part, VQAData)
    answers, records = read_answers(options.answers), data.records(options.split)
    scores = scores_of(answers, records)
    seeing = by_type("accuracy", scores, records)
    blind = by_type("accuracy", scores_of(read_answers(options.blind), records), records) if options.blind else seeing
    gaps = prior_gaps(seeing, blind)
    writable_folder(options.out)
    print_table(gaps, bool(options.blind))
    told: dict[str, Any] = {"accuracy": seeing} | ({"question only": blind} if options.blind else {})
    if options.compare:
        names = telling_names(Path(options.answers), Path(options.compare))
        told["compared"] = tell_differences(answers, read_answers(options.compare), records, names)
    save_figure(draw_confusions(confusions(answers.texts, records)), options.out / f"confusion.{options.format}")
    if answers.confidences:
        sure = [answers.confidences[record.question_id] for record in records]
        told["confidences"] = score_confidences(sure, scores)
        print("\n" + "\n".join(f"{name}  {value:.2f}" for name, value in told["confidences"].items()))
        save_figure(draw_confidence(sure, scores), options.out / f"confidence.{options.format}")
        mistakes = surest_mistakes(answers.texts, answers.confidences, scores, records, options.mistakes)
        nearest = NearestQuestions(data.records("train"))
        told["surest mistakes"] = print_mistakes(mistakes, nearest, options.neighbours)
    with replacing(options.out / "insight.json") as draft:
        draft.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8", errors="replace")
    print(f"written to {options.out}")


if __name__ == "__main__":
    run_script(main)
