"""Several tasks that share one image encoder: trained together, kept in one checkpoint."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from lightning import LightningDataModule
from lightning.pytorch.utilities import CombinedLoader
from torch import Tensor, nn
from torch.utils.data import DataLoader

from common.data.module import SPLITS, PictureData
from common.errors import ConfigError, nearest
from common.training.checkpoints import build_encoder, shared_encoder
from common.training.optimisation import Optimisation
from common.training.parts import Part, build
from common.training.task import LINKS, ShownExample, TaskModule


class JointData(LightningDataModule):
    """The data of several tasks, by the name of the task.

    An epoch is a pass over the longest training split; the shorter ones begin anew within it.

    Args:
        tasks: each task's own data module.

    Raises:
        ConfigError: a recipe is wrong.
    """

    def __init__(self, tasks: dict[str, Part]) -> None:
        super().__init__()
        self.tasks: dict[str, PictureData[Any, Any]] = {name: build(part, PictureData) for name, part in tasks.items()}

    @property
    def lexicons(self) -> dict[str, dict[str, list[str]]]:
        """What each task's model takes from its data: its vocabulary and, of questions, its answers."""
        return {
            name: {key: getattr(data, key) for key in LINKS if hasattr(type(data), key)}
            for name, data in self.tasks.items()
        }

    def train_dataloader(self) -> CombinedLoader:
        """A batch of each task at every step."""
        return CombinedLoader({name: data.train_dataloader() for name, data in self.tasks.items()}, "max_size_cycle")

    def val_dataloader(self) -> list[DataLoader[Any]]:
        """One task's validation split after the other."""
        return [data.val_dataloader() for data in self.tasks.values()]


class JointModule(TaskModule):
    """One image encoder under the models of several tasks; the loss is the weighted sum of theirs.

    Whatever a task logs has the task's name before it ("captioning/val/CIDEr-D"); the first task named decides which
    checkpoint is the best. The scripts of each task take the checkpoints as they take those of the task alone.

    Args:
        encoder: the `VisualEncoder` that the tasks share.
        tasks: the `TaskModule` of each task by the name of the task, without what the others have too: encoder and
            optimisation.
        lexicons: what each takes from its data, as `JointData.lexicons`.
        weights: of the tasks' losses; 1 where not given.
        encoder_weights: see `build_encoder`.

    Raises:
        ConfigError: fewer than two tasks, a name that is not the task's, a weight that is no positive number, or a
            wrong recipe.
    """

    task = "joint"
    script = "scripts/caption.py or scripts/answer.py"
    data = JointData

    def __init__(
        self,
        encoder: Part,
        tasks: dict[str, Part],
        lexicons: dict[str, dict[str, list[str]]],
        weights: dict[str, float] | None = None,
        encoder_weights: str | None = None,
        optimisation: Optimisation = Optimisation(),
    ) -> None:
        super().__init__()
        self.weights = _checked(weights or {}, tasks, lexicons)
        self.save_hyperparameters(logger=False)
        self.encoder = build_encoder(encoder, encoder_weights)
        self.tasks = nn.ModuleDict({name: self._part(name, tasks[name], encoder, lexicons[name]) for name in tasks})
        self.optimisation = optimisation

    def _part(self, name: str, recipe: Part, encoder: Part, lexicon: Mapping[str, list[str]]) -> TaskModule:
        with shared_encoder(self.encoder):
            module: TaskModule = build(recipe, TaskModule, encoder=encoder, encoder_weights=None, **lexicon)
        if module.task != name:
            raise ConfigError(f"the task {name!r} is made of {type(module).__name__}, which is for {module.task!r}")
        module.log = partial(self._log_of, name)  # type: ignore[method-assign]
        return module

    def _log_of(self, task: str, name: str, value: Any, **settings: Any) -> None:
        self.log(f"{task}/{name}", value, **settings | {"add_dataloader_idx": False})

    @property
    def networks(self) -> tuple[str, ...]:  # type: ignore[override]
        """The encoder, once, and what else each task is made of."""
        parts = ((name, part) for name, module in self.tasks.items() for part in module.networks)  # type: ignore[union-attr]
        return ("encoder", *(f"tasks.{name}.{part}" for name, part in parts if part != "encoder"))

    @property
    def metric(self) -> str:  # type: ignore[override]
        """That of the first task."""
        name, module = next(iter(self.tasks.items()))
        return f"{name}/{module.metric}"

    def attach(self, data: JointData, splits: Collection[str] = SPLITS) -> None:
        """Tell each task's data how its model wants them, and which `splits` are wanted."""
        for name, module in self.tasks.items():
            module.attach(data.tasks[name], splits)  # type: ignore[operator]

    def memorise(self, data: JointData) -> None:
        """What each task does, with its own data."""
        for name, module in self.tasks.items():
            module.memorise(data.tasks[name])  # type: ignore[operator]

    def training_step(self, batch: Mapping[str, Any], batch_index: int) -> Tensor:
        """The scalar loss of a batch of each task."""
        losses = {name: self.tasks[name].training_step(each, batch_index) for name, each in batch.items()}  # type: ignore[operator]
        loss: Tensor = sum(self.weights[name] * each for name, each in losses.items())
        self.log("train/loss", loss.detach(), batch_size=1)
        return loss

    def validation_step(self, batch: Any, batch_index: int, dataloader_idx: int = 0) -> None:
        """What the task does whose batch it is."""
        list(self.tasks.values())[dataloader_idx].validation_step(batch, batch_index)  # type: ignore[operator]

    def on_validation_epoch_start(self) -> None:
        """What each task does."""
        for module in self.tasks.values():
            module.on_validation_epoch_start()  # type: ignore[operator]

    def on_validation_epoch_end(self) -> None:
        """What each task does."""
        for module in self.tasks.values():
            module.on_validation_epoch_end()  # type: ignore[operator]

    def show_examples(self, data: JointData) -> list[ShownExample]:
        """Those of each task."""
        return [
            example
            for name, module in self.tasks.items()
            for example in module.show_examples(data.tasks[name])  # type: ignore[operator]
        ]


def _checked(
    weights: Mapping[str, float], tasks: Mapping[str, Part], lexicons: Mapping[str, Mapping[str, list[str]]]
) -> dict[str, float]:
    """The weight of each task.

    Raises:
        ConfigError: see `JointModule`.
    """
    if len(tasks) < 2:
        raise ConfigError(f"joint training is for two tasks or more, not {len(tasks)}: name them in model.tasks")
    for name in (*weights, *lexicons):
        if name not in tasks:
            raise ConfigError(f"there is no task {name!r} in model.tasks{nearest(name, tasks)}")
    if missing := [name for name in tasks if name not in lexicons]:
        raise ConfigError(f"the task {missing[0]!r} has no data: name them in data.tasks")
    for name, weight in weights.items():
        if not 0 < weight < math.inf:
            raise ConfigError(f"weights.{name} must be a positive number, not {weight}")
    return {name: weights.get(name, 1.0) for name in tasks}
