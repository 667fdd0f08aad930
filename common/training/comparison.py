"""Many trainings under one budget: kinds that change a base experiment, and a run for each kind and seed, done once."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from common.errors import ConfigError, DataError, SaccadeError, nearest
from common.explain.comparison import Row, estimate
from common.files import replacing, writable_folder
from common.training.composition import Config, merge, read_config
from common.training.costs import Rehearsal

RECIPE, RESULT, FAILURE, LOG = "recipe.yaml", "result.json", "failure.txt", "log.txt"
SECTIONS = ("model", "data", "trainer")  # what a kind may change
COMMENT = "comment"


@dataclass(frozen=True)
class Kind:
    """A name, the whole experiment of that name but for folder and seed, and what there is to say of it."""

    name: str
    recipe: Config
    comment: str = ""

    @property
    def folder_name(self) -> str:
        """The name with nothing in it that a path minds."""
        return re.sub(r"[^\w.+-]+", "-", self.name).strip("-.")


@dataclass(frozen=True)
class Result:
    """What came of one run.

    recipe: what it was made by. measures: scores and costs by name. seconds: from its start to its end, scoring
    included. device, threads, jobs: what it computed on, and how many runs were under way at once.
    """

    recipe: Config
    measures: dict[str, float]
    seconds: float
    device: str
    threads: int
    jobs: int

    @staticmethod
    def read(path: Path) -> Result:
        """Raises DataError for a file that was written by something else."""
        try:
            return Result(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise DataError(f"{path} is not the result of a run: delete it, and the run is done again") from error

    def write(self, path: Path) -> None:
        """Whole or not at all: a run is done when its result is there."""
        with replacing(path) as draft:
            draft.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Run:
    """One training of a kind."""

    kind: Kind
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kind.name}, seed {self.seed}"

    def result(self) -> Result | None:
        """What came of it; None if it is still to be done.

        Raises:
            ConfigError: its folder holds a run of another recipe.
        """
        path = self.folder / RESULT
        if not path.exists():
            return None
        result = Result.read(path)
        change = difference(result.recipe, _as_json(self.kind.recipe))
        if change is not None:
            raise ConfigError(
                f"kind {self.kind.name!r}: {self.folder} holds a run of another recipe ({change}): delete it, "
                "or give another --folder"
            )
        return result

    def prepare(self) -> None:
        """An empty folder with the recipe; what an interrupted run left is deleted.

        Raises:
            DataError: the folder cannot be written to, or holds what no run of ours has written.
        """
        if self.folder.exists() and not (self.folder / RECIPE).exists() and any(self.folder.iterdir()):
            raise DataError(f"{self.folder} is in the way of a run and holds something else: give another --folder")
        shutil.rmtree(self.folder, ignore_errors=True)
        writable_folder(self.folder)
        whole = {"folder": str(self.folder), "seed_everything": self.seed, **self.kind.recipe}
        with replacing(self.folder / RECIPE) as draft:
            draft.write_text(yaml.safe_dump(whole, sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_recipe(folder: Path) -> Config:
    """The recipe of a run that was prepared, without folder and seed."""
    whole = read_config(folder / RECIPE)
    return {key: value for key, value in whole.items() if key not in ("folder", "seed_everything")}


def read_kinds(path: str | Path, base: Config, only: Sequence[str] = ()) -> list[Kind]:
    """The kinds of a file, or those named in `only`, each with its settings merged into the base experiment.

    Raises:
        ConfigError: the file cannot be used, or there is no kind of a name.
    """
    changes = read_config(path)
    for name in only:
        if name not in changes:
            raise ConfigError(f"{path} has no kind {name!r}{nearest(name, map(str, changes))}")
    kinds = [_kind(str(name), change or {}, base) for name, change in changes.items() if not only or name in only]
    folders: dict[str, str] = {}
    for kind in kinds:
        if not kind.folder_name:
            raise ConfigError(f"{path}: {kind.name!r} has no letter or number that a folder could be named by")
        other = folders.setdefault(kind.folder_name, kind.name)
        if other != kind.name:
            raise ConfigError(f"{path}: the kinds {other!r} and {kind.name!r} would share a folder: rename one")
    return kinds


def _kind(name: str, change: Any, base: Config) -> Kind:
    if not isinstance(change, Mapping):
        raise ConfigError(f"kind {name!r} must hold settings that differ from the base, not {change!r}")
    for key in change:
        if key not in (*SECTIONS, COMMENT):
            raise ConfigError(f"kind {name!r} cannot set {key!r}{nearest(str(key), (*SECTIONS, COMMENT))}")
    settings = {key: value for key, value in change.items() if key != COMMENT}
    shared = {key: value for key, value in base.items() if key not in ("folder", "seed_everything")}
    return Kind(name, merge(shared, settings), str(change.get(COMMENT, "")))


def rehearse(kind: Kind, folder: Path) -> Rehearsal:
    """The kind's model, data and trainer, on the CPU, to see that there is nothing wrong with its recipe.

    Raises:
        ConfigError: there is.
    """
    options = [f"--{key}={json.dumps(value)}" for key, value in kind.recipe.items()]
    try:
        return Rehearsal(["fit", *options, f"--folder={folder}"])
    except SaccadeError as fault:
        raise ConfigError(f"kind {kind.name!r}: {fault}") from fault


def runs_of(kinds: Sequence[Kind], seeds: int, folder: Path) -> list[Run]:
    """Each kind with each seed from 0 on; all kinds with the first seed come first, so that there is soon a whole."""
    return [Run(kind, seed, folder / kind.folder_name / f"seed{seed}") for seed in range(seeds) for kind in kinds]


def rows_of(kinds: Sequence[Kind], runs: Sequence[Run], faults: Mapping[Path, str]) -> list[Row]:
    """A row for each kind: means over the seeds that came to an end, and why the first that did not did not."""
    return [_row(kind, [run for run in runs if run.kind is kind], faults) for kind in kinds]


def _row(kind: Kind, runs: Sequence[Run], faults: Mapping[Path, str]) -> Row:
    measures = [result.measures for run in runs if (result := run.result()) is not None]
    names = [name for name in (measures[0] if measures else ()) if all(name in each for each in measures)]
    told = [f"seed {run.seed}: {faults[run.folder]}" for run in runs if run.folder in faults]
    estimates = {name: estimate([each[name] for each in measures]) for name in names}
    return Row(kind.name, estimates, len(measures), told[0] if told else None)


def difference(before: Any, after: Any, where: str = "") -> str | None:
    """The first setting in which two recipes differ, in words; None where they are the same."""
    if not (isinstance(before, Mapping) and isinstance(after, Mapping)):
        return None if before == after else f"{where} was {_short(before)} and is {_short(after)}"
    for key in dict.fromkeys([*before, *after]):
        inner = f"{where}.{key}" if where else str(key)
        if key not in after:
            return f"{inner} was {_short(before[key])} and is not set now"
        if key not in before:
            return f"{inner} was not set and is {_short(after[key])}"
        found = difference(before[key], after[key], inner)
        if found is not None:
            return found
    return None


def _short(value: Any, most: int = 60) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[:most]}..."


def _as_json(recipe: Config) -> Any:
    """As it comes back from a file: keys as text, tuples as lists."""
    return json.loads(json.dumps(recipe))
