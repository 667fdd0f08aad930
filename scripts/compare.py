"""Train several kinds of attention under one budget, and write one table and one figure.

    python scripts/compare.py --config configs/captioning/scenes_demo.yaml --kinds configs/compare/captioning.yaml
    python scripts/compare.py --config ... --kinds ... --seeds 3 --only soft hard --trainer.max_epochs 3

The base experiment is put together from --config files and options as in training; a kind is what its entry in --kinds
changes in it. Each run is done once: after an interruption, or with a new kind or more seeds, give the same command
again. Written to --folder: table.md, table.csv, figure.png, .pdf and .svg, and each run in KIND/seedN.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import wandb

import captioning.evaluation
import vqa.evaluation
from captioning.module import CaptioningModule
from captioning.scoring import Scoring
from common.commands import Parser, at_least_one
from common.data.records import Prediction
from common.errors import ConfigError, one_line, run_script
from common.explain.canvas import figure_to_image, save_figure
from common.explain.comparison import Column, Comparison, Row, compare
from common.explain.comparison_figure import Axis, draw_comparison
from common.files import replacing, writable_folder
from common.training.checkpoints import load_module
from common.training.comparison import (
    FAILURE,
    RECIPE,
    RESULT,
    Kind,
    Result,
    Run,
    read_kinds,
    read_recipe,
    rehearse,
    rows_of,
    runs_of,
)
from common.training.composition import compose
from common.training.costs import MeasuredTraining, Timed, parameters, peak_memory
from common.training.parts import find_class, read_part
from common.training.processes import carry_out
from common.training.task import TaskModule
from common.training.wandb_run import experiment_logger
from vqa.module import VQAModule

POINTING, CENTRE, UNIFORM = "pointing", "pointing, centre of the picture", "pointing, uniform"
ENTROPY, SPREAD = "attention entropy, nats", "attention entropy, % of uniform"
TRAINING, INFERENCE, MEMORY = "training speed", "inference speed", "peak memory, MiB"
PARAMETERS, LOOKING = "parameters", "parameters of the attention"


@dataclass(frozen=True)
class Task:
    """What a comparison must know of a task: how to score a model, its measures of quality, and what it counts."""

    predict: Callable[[Any, Any], dict[int | str, Prediction]]
    score: Callable[[Any, dict[int | str, Prediction]], dict[str, float]]
    quality: tuple[Column, ...]
    examples: str
    truth: str

    @property
    def columns(self) -> list[Column]:
        """All that the table may have, the first of which ranks."""
        return [
            *self.quality,
            Column(POINTING, "pointing game, %"),
            Column(ENTROPY, "entropy, nats", 2, None),
            Column(SPREAD, "entropy, % of uniform", 0, None),
            Column(PARAMETERS, "parameters", 0, "lowest"),
            Column(LOOKING, "of these attention", 0, "lowest"),
            Column(TRAINING, f"training, {self.examples}/s", 0),
            Column(INFERENCE, f"inference, {self.examples}/s", 0),
            Column(MEMORY, "peak memory, MiB", 0, "lowest"),
        ]


def score_captions(records: Any, predictions: dict[int | str, Prediction]) -> dict[str, float]:
    """All but METEOR, which needs Java and half a minute a run."""
    return captioning.evaluation.score(records, predictions, Scoring(meteor=False))


TASKS = {
    CaptioningModule.task: Task(
        captioning.evaluation.caption_all,
        score_captions,
        (Column("CIDEr-D", "CIDEr-D × 100"), Column("named pairs in the picture", "named pairs, %")),
        "pictures",
        "captions",
    ),
    VQAModule.task: Task(
        vqa.evaluation.answer_all, vqa.evaluation.score, (Column("accuracy", "accuracy, %"),), "questions", "answers"
    ),
}


def parse() -> tuple[argparse.Namespace, list[str]]:
    """Our own options, and those of the base experiment."""
    parser = Parser(__doc__)
    parser.usage = "%(prog)s --config FILE [--config FILE ...] --kinds FILE [--KEY VALUE ...] [options]"
    parser.add_argument("--kinds", type=Path, help="YAML: the name of each kind with what it changes in the base")
    parser.add_argument("--seeds", type=at_least_one, default=1, metavar="N", help="runs of each kind; default 1")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these kinds of the file and no others")
    parser.add_argument("--jobs", type=at_least_one, default=1, metavar="N", help="runs at once; default 1")
    parser.add_argument("--folder", type=Path, help="default: runs/compare/ and the name of the file of kinds")
    parser.add_argument("--run", type=Path, metavar="FOLDER", help="do the one run that is prepared there")
    options, rest = parser.parse_known_args()
    if options.run is None and options.kinds is None:
        raise ConfigError("give --kinds with a file of kinds, such as configs/compare/captioning.yaml")
    if options.folder is None and options.kinds is not None:
        options.folder = Path("runs/compare") / options.kinds.stem
    return options, rest


def task_of(model: Any) -> Task:
    """The task of a model's recipe.

    Raises:
        ConfigError: there is no recipe, or its task is not known here.
    """
    if model is None:
        raise ConfigError("no experiment to compare kinds in: give --config with a base, as for scripts/train.py")
    path, _ = read_part(model)
    task = find_class(path, TaskModule).task
    if task not in TASKS:
        raise ConfigError(f"a model for {task} cannot be compared here")
    return TASKS[task]


def check(kinds: Sequence[Kind], truth: str, folder: Path) -> None:
    """Put each kind together before any is trained, which draws the scenes as well, where they are not there yet.

    Raises:
        ConfigError: one cannot be trained or scored.
    """
    for kind in kinds:
        records = rehearse(kind, folder / kind.folder_name).datamodule.records("test")
        if not any(getattr(record, truth) for record in records):
            raise ConfigError(f"kind {kind.name!r}: the test split has no {truth} to score against")


def do_one(folder: Path, jobs: int) -> None:
    """Train what is prepared in the folder, score its best checkpoint on the test split, and write the result."""
    try:
        train_and_score(folder, jobs).write(folder / RESULT)
    except Exception as fault:
        (folder / FAILURE).write_text(one_line(fault), encoding="utf-8", errors="replace")
        raise


def train_and_score(folder: Path, jobs: int) -> Result:
    """The measures of one run."""
    start = time.monotonic()
    arguments = ["fit", "--config", str(folder / RECIPE)]
    training = MeasuredTraining(arguments, f"{folder.parent.name}, {folder.name}")
    device = training.trainer.strategy.root_device
    total, looking = parameters(training.model)
    costs = {TRAINING: training.speed.rate, MEMORY: peak_memory(device), PARAMETERS: total, LOOKING: looking}
    recipe, data = read_recipe(folder), training.datamodule
    task = task_of(recipe["model"])
    model: Any = load_module(folder / "best.ckpt", type(training.model)).to(device)
    model.attach(data, ("test",))
    loader = Timed(data.loader("test"))
    scores = task.score(data.records("test"), task.predict(model, loader))
    costs[INFERENCE] = loader.rate
    measures = scores | {name: float(value) for name, value in costs.items() if value is not None}
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    return Result(recipe, measures, time.monotonic() - start, name, torch.get_num_threads(), jobs)


def notes_of(kinds: Sequence[Kind], rows: Sequence[Row], results: Sequence[Result], base: Sequence[str]) -> list[str]:
    """What must be known to read the table."""
    seeds = max((row.seeds for row in rows), default=1)
    means = {
        name: [value for row in rows if (value := row.mean(name)) is not None] for name in (CENTRE, UNIFORM, ENTROPY)
    }
    notes = [f"Base experiment: `{' '.join(base)}`; best checkpoint by validation, scored on the test split."]
    notes.append(
        f"Mean ± half of the 95 % interval (Student's t) over {seeds} seeds."
        if seeds > 1
        else "One seed each: differences as small as those between two seeds say nothing."
    )
    if means[UNIFORM]:
        centre, uniform = (sum(means[name]) / len(means[name]) for name in (CENTRE, UNIFORM))
        notes.append(
            f"Pointing game: the peak of the attention is in the right object's box; pointing at the picture's centre "
            f"hits {centre:.1f} %, a uniform map {uniform:.1f} %."
        )
        notes.append(
            "Entropy of the same maps, those with a known target (the mean of the levels, where there are several): "
            "0 looks at one region; a uniform map of R regions has log R."
        )
    machines = sorted({f"{each.device}, {each.threads} thread{'s' * (each.threads > 1)}" for each in results})
    crowded = max((result.jobs for result in results), default=1)
    noted = f", with up to {crowded} runs at once (fewer a second than alone)" if crowded > 1 else ""
    notes.append(
        f"Speeds on {' and '.join(machines)}{noted}; what else ran on the machine counts. Training: with data "
        "loading, without validation. Peak memory: of the whole training process (of the GPU, where there is one)."
    )
    return notes + [f"**{kind.name}**: {kind.comment}" for kind in kinds if kind.comment]


def draw(comparison: Comparison, columns: Sequence[Column]) -> Any:
    """The figure: quality against grounding, and what each kind costs."""
    headings = {column.name: column.heading for column in columns} | {LOOKING: LOOKING}
    quality, grounding = columns[0], Axis(POINTING, headings[POINTING], {CENTRE: "centre", UNIFORM: "uniform"})
    bars = [Axis(name, headings[name]) for name in (TRAINING, INFERENCE, LOOKING)]
    spread = Axis(SPREAD, "attention's entropy, % of uniform", most=100.0)
    return draw_comparison(comparison.rows, Axis(quality.name, quality.heading), grounding, [spread, *bars])


def write(comparison: Comparison, figure: Any, folder: Path, log: bool) -> None:
    """Table and figure into the folder, and into Weights & Biases where runs are logged."""
    for name, text in (("table.md", comparison.markdown()), ("table.csv", comparison.csv())):
        with replacing(folder / name) as draft:
            draft.write_text(text, encoding="utf-8")
    for suffix in ("png", "pdf", "svg"):
        save_figure(figure, folder / f"figure.{suffix}")
    if log:
        names = [column.name for column in comparison.columns]
        rows = [[row.name, row.seeds, *(row.mean(name) for name in names)] for row in comparison.rows]
        table = wandb.Table(columns=["kind", "seeds", *names], data=rows)
        picture = wandb.Image(figure_to_image(figure))
        experiment_logger(folder, folder.name).experiment.log({"comparison": table, "figure": picture})
        wandb.finish()


def main() -> None:
    """Check all, train what is not done, write table and figure."""
    options, rest = parse()
    if options.run is not None:
        do_one(options.run, options.jobs)
        return
    base = compose(rest)
    task = task_of(base.get("model"))
    kinds = read_kinds(options.kinds, base, options.only)
    folder = writable_folder(options.folder)
    runs = runs_of(kinds, options.seeds, folder)
    todo = {run.kind.name for run in runs if run.result() is None}
    check([kind for kind in kinds if kind.name in todo], task.truth, folder)

    def command(run: Run) -> list[str]:
        return [sys.executable, __file__, "--run", str(run.folder), "--jobs", str(options.jobs)]

    def headline(result: Result) -> str:
        shown = (task.quality[0], Column(POINTING, "pointing game"))
        return ", ".join(
            f"{each.heading} {result.measures[each.name]:.1f}" for each in shown if each.name in result.measures
        )

    faults = carry_out(runs, command, headline, options.jobs)
    results = [result for run in runs if (result := run.result()) is not None]
    rows = rows_of(kinds, runs, faults)
    notes = notes_of(kinds, rows, results, rest)
    comparison = compare(f"Kinds of attention: {folder.name}", task.columns, rows, notes, ENTROPY)
    write(comparison, draw(comparison, task.columns), folder, base.get("trainer", {}).get("logger") is not False)
    print(f"\n{comparison.text()}\n\nwritten to {folder}: table.md, table.csv, figure.png, .pdf, .svg")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    run_script(main)
