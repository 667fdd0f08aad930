"""Score results, whatever made them: `python scripts/score.py --results mine.json --references captions_val2017.json`.

With --compare, a second results file for the same images: the differences, their 95 % intervals and whether they may be
chance. Written to --out: scores.json. The results are captions; scripts/inspect_answers.py does this for answers.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from captioning.data import CaptioningData
from captioning.results import read_captions, read_references
from captioning.scoring import Report, add_scoring_options, report, scoring_of
from common.commands import Parser, seed
from common.errors import ConfigError, DataError, run_script
from common.files import replacing, telling_names, writable_folder
from common.measures import comparison_table
from common.training.cli import data_section
from common.training.parts import build


def parse() -> tuple[argparse.Namespace, Any]:
    """The command line: our own options, and the data section of the experiment if one is given."""
    parser = Parser(__doc__)
    parser.usage = "%(prog)s --results FILE (--references FILE | --config FILE [--split SPLIT]) [options]"
    parser.add_argument("--results", type=Path, required=True, help='[{"image_id": 42, "caption": "..."}, ...]')
    parser.add_argument("--references", metavar="FILE", help="a COCO captions JSON; its images are not needed")
    parser.add_argument("--split", choices=["train", "val", "test"], default="test", help="of --config's data")
    parser.add_argument("--compare", type=Path, metavar="FILE", help="results of another model for the same images")
    add_scoring_options(parser)
    parser.add_argument("--seed", type=seed, default=0, help="of the resamples; default 0")
    parser.add_argument("--out", type=Path, help="default: the folder of --results")
    parser.add_device()
    options, rest = parser.parse_known_args()
    data = data_section(rest, options) if rest else None
    if bool(options.references) == bool(data):
        raise ConfigError("give either --references with a COCO captions JSON or --config with the experiment's file")
    if options.clip and options.references:
        raise ConfigError("--clip looks at the pictures, which --references does not tell: give --config instead")
    options.out = options.out or options.results.parent
    return options, data


@dataclass(frozen=True)
class Truth:
    """What is known of each image: its references, and, where the experiment is known, its picture.

    training: the captions that the experiment trains on.
    """

    references: dict[int | str, Any]
    pictures: dict[int | str, Path] = field(default_factory=dict)
    training: list[str] | None = None


def find_truth(options: argparse.Namespace, data_part: Any) -> Truth:
    """What the captions are scored against."""
    if options.references:
        return Truth(dict(read_references(options.references)))
    data = build(data_part, CaptioningData)
    records = data.records(options.split)
    return Truth(
        {record.image_id: record.captions for record in records},
        {record.image_id: record.image for record in records},
        [caption for record in data.records("train") for caption in record.captions],
    )


def show(found: Report, options: argparse.Namespace) -> None:
    """Print what was found."""
    width = max(map(len, [*found.scores, *found.description]))
    for name, interval in found.scores.items():
        print(f"{name:<{width}}  {interval.value:8.2f}  ({interval.low:.2f} .. {interval.high:.2f})")
    for name, value in found.description.items():
        print(f"{name:<{width}}  {value:8.2f}")
    for name, source in found.made_with.items():
        print(f"{name}: {source}")
    if found.comparison:
        print(comparison_table(found.comparison, *telling_names(options.results, options.compare)))


def main() -> None:
    """Score, compare, print, write."""
    options, data = parse()
    captions = read_captions(options.results)
    other = read_captions(options.compare) if options.compare else None
    truth = find_truth(options, data)
    writable_folder(options.out)
    scoring = scoring_of(options, truth.pictures)
    try:
        found = report(captions, truth.references, other, truth.training, scoring, options.seed)
    except DataError as error:
        raise DataError(f"{options.results}{f' or {options.compare}' if other else ''}: {error}") from error
    metrics = {"results": str(options.results), "compared with": str(options.compare) if other else None}
    with replacing(options.out / "scores.json") as draft:
        draft.write_text(json.dumps(metrics | found.as_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    show(found, options)
    print(f"written to {options.out / 'scores.json'}")


if __name__ == "__main__":
    run_script(main)
