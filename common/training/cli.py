"""The command line of training: settings from files and options, faults told in one line, a folder for each run."""

from __future__ import annotations

import argparse
import inspect
import logging
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import wandb
import yaml
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from common.errors import EXIT_INTERRUPTED, ConfigError, SaccadeError, one_line
from common.training.callbacks import EpochSeeds, ExampleTable, Progress, RecordConfig, best_and_last
from common.training.checkpoints import WholeFileIO, check_fit, check_task, of_one_task, read_checkpoint, start_from
from common.training.composition import Config, check_names, compose
from common.training.parts import find_class
from common.training.task import LEXICONS, LINKS, TaskModule
from common.training.wandb_run import experiment_logger

PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # the others change weights, and sums over a whole data set, too
OPTIONS = ("model", "data", "trainer", "folder", "seed_everything", "ckpt_path", "start_from")
USAGE = (
    "usage: python scripts/train.py fit --config FILE [--config FILE ...] [--KEY VALUE ...] [--print_config | --help]"
)


class TrainingCLI(LightningCLI):
    """`fit` for any `TaskModule` with its data module, which the settings name by `class_path`."""

    trainer: Trainer
    model: TaskModule

    def __init__(self, arguments: Sequence[str]) -> None:
        """Read the arguments, put together all that they name, and train.

        Raises:
            SaccadeError: an argument, a setting or something they name is wrong.
        """
        self.arguments = list(arguments)
        self.settings: Config = {} if self._asks_for_help() else self._composed()
        _be_quiet()
        strict = {"exit_on_error": False}
        try:
            super().__init__(
                LightningModule,
                LightningDataModule,
                save_config_callback=None,  # `RecordConfig` writes into the run's folder
                trainer_defaults={"log_every_n_steps": 10},
                seed_everything_default=0,
                parser_kwargs={**strict, "fit": strict},
                subclass_mode_model=True,
                subclass_mode_data=True,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,  # `load_module` needs no more than plain values
            )
        except (argparse.ArgumentError, ValueError, MisconfigurationException) as error:
            raise _fault(error) from error

    def _asks_for_help(self) -> bool:
        return not {"-h", "--help"}.isdisjoint(self.arguments)

    def _composed(self) -> Config:
        """The settings, their names checked."""
        if self.arguments[:1] != ["fit"]:
            raise ConfigError(USAGE)
        settings = compose([option for option in self.arguments[1:] if option != "--print_config"])
        for section in ("model", "data"):
            given = settings.get(section)
            if not (isinstance(given, Mapping) and isinstance(given.get("class_path"), str)):
                raise ConfigError(
                    f"{section} has no class_path: give --config with an experiment first, such as "
                    "configs/captioning/scenes.yaml"
                )
        self.model_type = find_class(settings["model"]["class_path"], TaskModule)
        check_names(settings, OPTIONS, {"model": TaskModule, "data": self.model_type.data, "trainer": Trainer})
        return settings

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Training only: the scripts that evaluate and predict read checkpoints and need no settings."""
        return {"fit": {"model", "train_dataloaders", "val_dataloaders", "datamodule", "weights_only"}}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the run's folder, and what the model takes from the data."""
        parser.add_argument("--folder", type=str, required=True, help="where all of this run is written")
        parser.add_argument(
            "--start_from", type=str | None, default=None, help="a checkpoint whose weights a new training begins with"
        )
        if self.settings:
            for name in (*LINKS, LEXICONS):
                if name in inspect.signature(self.model_type).parameters:
                    parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """See that all values are of the right types."""
        if self._asks_for_help():
            parser.parse_args(self.arguments)  # prints it and exits
        self.config = parser.parse_object({"subcommand": "fit", "fit": self.settings})
        if "--print_config" in self.arguments:
            print(yaml.safe_dump(self._plain_config(), sort_keys=False), end="")
            sys.exit()

    def _parse_ckpt_path(self) -> None:
        """Look at the checkpoint to go on or begin from. (Lightning would let its settings override the given ones.)"""
        last, first = self.config.fit.ckpt_path, self.config.fit.start_from
        self._earlier: dict[str, Any] = {}  # what that checkpoint holds, until the model has been made
        if last is not None:
            self._earlier = read_checkpoint(last)
            check_task(last, self._earlier, self.model_type)
        elif first is not None:
            self._earlier = of_one_task(read_checkpoint(first), self.model_type)
            check_task(first, self._earlier, self.model_type)

    def before_instantiate_classes(self) -> None:
        """Keep an earlier run in the same folder from being overwritten.

        Raises:
            ConfigError: there is one, and it is not being resumed.
        """
        self.folder = Path(self.config.fit.folder)
        last = self.folder / "last.ckpt"
        if last.exists() and self.config.fit.ckpt_path is None:
            raise ConfigError(f"{self.folder} holds a run: go on with --ckpt_path {last}, or give another --folder")

    @property
    def run_name(self) -> str:
        """What the run is called in Weights & Biases."""
        return self.folder.name

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """The trainer with what every run has: seeds, checkpoints, progress, Weights & Biases.

        Raises:
            ConfigError: a setting of the trainer is not among those there are, or keeps weights in another precision.
        """
        given, seed = self.config_init.fit.trainer, self.config_init.fit.seed_everything
        metric = self.model.metric
        callbacks: list[Callback] = [EpochSeeds(seed), ExampleTable(), RecordConfig(self.folder, self._plain_config())]
        if given.enable_progress_bar is not False:
            callbacks.append(Progress(metric))
        if given.enable_checkpointing is not False:
            callbacks += best_and_last(self.folder, metric)
        logger = given.logger
        if logger in (None, True) and not given.fast_dev_run:
            logger = experiment_logger(self.folder, self.run_name)
        try:
            trainer = super().instantiate_trainer(
                logger=logger,
                callbacks=[*_as_list(given.callbacks), *callbacks],
                plugins=[*_as_list(given.plugins), WholeFileIO()],
                default_root_dir=self.folder,
                **kwargs,
            )
        except ValueError as error:
            raise ConfigError(f"trainer: {one_line(error)}") from error
        if trainer.precision not in PRECISIONS:
            raise ConfigError(
                f"trainer.precision must be one of {', '.join(PRECISIONS)}, not {trainer.precision}: "
                "weights are kept in float32"
            )
        return trainer

    def before_fit(self) -> None:
        """See that the checkpoint to resume from fits the model, or begin with the weights of another training.

        A run that is resumed has no need of what it began with.

        Raises:
            CheckpointError: a checkpoint does not fit.
        """
        path, beginning = self.config.fit.ckpt_path, self.config.fit.start_from
        if path is not None:
            check_fit(path, self._earlier, self.model)
        elif beginning is not None:
            start_from(beginning, self._earlier, self.model)
        self._earlier = {}

    def fit(self, model: LightningModule, **kwargs: Any) -> None:
        """Train; on Ctrl-C say how to go on, and exit with the code for it."""
        try:
            self.trainer.fit(model, **kwargs)
        except SystemExit:  # what Lightning makes of Ctrl-C
            if not self.trainer.interrupted:
                raise
            print(f"\ninterrupted; {self._how_to_go_on()}", file=sys.stderr)
            sys.exit(EXIT_INTERRUPTED)
        finally:
            wandb.finish()

    def after_fit(self) -> None:
        """Say where the result is."""
        checkpoint = self.trainer.checkpoint_callback
        best = getattr(checkpoint, "best_model_score", None)
        if best is not None and self.trainer.is_global_zero:
            print(f"best {self.model.metric} {best:.4g}: {self.folder / 'best.ckpt'}")

    def _how_to_go_on(self) -> str:
        last = self.folder / "last.ckpt"
        if not last.exists():
            return "no epoch was finished, so there is no checkpoint yet"
        return f"go on with: python scripts/train.py fit --config {self.folder / 'config.yaml'} --ckpt_path {last}"

    def _plain_config(self) -> Config:
        """All settings, defaults included, as they can be given again."""
        parser = self._parser("fit")
        config: Config = yaml.safe_load(parser.dump(self.config.fit, skip_unset=False, skip_validation=True))
        config.pop("ckpt_path", None)
        return config


def data_section(settings: Sequence[str], options: argparse.Namespace) -> Any:
    """The `data` section of an experiment, for a script that has `options` of its own besides the settings.

    Raises:
        ConfigError: there is none, or a setting is wrong or one of the script's options.
    """
    config = compose(settings)
    if ours := sorted(config.keys() & vars(options).keys()):
        raise ConfigError(f"{ours[0]!r} is no setting but an option of this script: give --{ours[0]}, not in a file")
    check_names(config, [*OPTIONS, *vars(options)], {})
    if not config.get("data"):
        raise ConfigError("no data to evaluate on: give --config with the experiment's file, as for scripts/train.py")
    return config["data"]


def _as_list(given: Any) -> list[Any]:
    """What the settings give as one thing, several, or none."""
    return given if isinstance(given, list) else [] if given is None else [given]


def _fault(error: Exception) -> Exception:
    """What was wrong at first: jsonargparse wraps what constructors raise."""
    first: BaseException | None = error
    while first is not None and not isinstance(first, SaccadeError):
        first = first.__cause__ or first.__context__
    if first is not None:
        return first
    if isinstance(error, MisconfigurationException):
        return ConfigError(one_line(error))
    if isinstance(error, argparse.ArgumentError) or str(error).startswith("Does not validate"):
        return ConfigError(_innermost(str(error)))
    return error


def _innermost(message: str) -> str:
    """What jsonargparse says in ten lines: where, and the innermost reason."""
    noise = ("Does not validate", "Subtypes:", "Errors:", "Expected a <class 'NoneType'>", "Given value type:")
    lines = [line.strip(" -") for line in message.splitlines()]
    where = re.findall(r'Parser key "([^"]+)"', message)
    reasons = [re.sub(r'^Parser key "[^"]+":|^Problem with given class_path .*', "", line) for line in lines]
    reasons = [line.strip() for line in reasons if line.strip() and not line.startswith(noise) and len(line) < 200]
    text = re.sub(r"<class '(?:\w+\.)*(\w+)'>", r"\1", "; ".join(reasons)).replace("typing.", "")
    return f"{'.'.join(where)}: {text}" if where else text.replace("fit.", "")


def _be_quiet() -> None:
    """Keep Lightning's notes on itself, and its advice that does not apply, off the screen."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    advice = (
        "does not have many workers",
        "smaller than the logging interval",
        "exists and is not empty",
        "LeafSpec",
        "in eval mode",
        "sync_dist=True",  # what is logged at the end of a validation is the same in all processes already
    )
    for words in advice:
        warnings.filterwarnings("ignore", f".*{words}")
