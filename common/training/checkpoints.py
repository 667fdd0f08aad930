"""Checkpoints that carry all they need, and reading them without trusting them."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import is_dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from torch import nn

from common.contexts import holding
from common.encoders import VisualEncoder, weights_follow
from common.errors import CheckpointError, SaccadeError, one_line
from common.files import replacing
from common.training.parts import Part, build
from common.training.task import FORMAT, LEXICONS, LINKS, TaskModule

# What settings give that this version does not have, or has in addition (TypeError), or that no one would have written.
_NONSENSE = (SaccadeError, TypeError, ValueError, LookupError, AttributeError, RuntimeError)
M = TypeVar("M", bound=TaskModule)
_shared: ContextVar[VisualEncoder | None] = ContextVar("_shared", default=None)


class WholeFileIO(TorchCheckpointIO):
    """Writes beside the file and then renames, so that a full disk or a kill leaves the earlier checkpoint whole."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any | None = None
    ) -> None:
        """Write `checkpoint`.

        Raises:
            DataError: the file cannot be written.
        """
        with replacing(Path(path)) as draft, draft.open("wb") as file:  # a name alone: PyTorch would tell no reason
            torch.save(checkpoint, file)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU. Nothing in it is executed.

    Raises:
        CheckpointError: there is no such file, it is cut short, no checkpoint of Saccade, or it holds code.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        _check_whole(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} is refused: it holds more than tensors and plain values") from error
    except PermissionError as error:
        raise CheckpointError(f"{path} may not be read: {error.strerror}") from error
    except (RuntimeError, OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path} is damaged: copy it again") from error
    content = content if isinstance(content, dict) else {}
    parts = content.get("saccade"), content.get("state_dict"), content.get("hyper_parameters", {})
    if not all(isinstance(part, dict) for part in parts):
        raise CheckpointError(f"{path} is not a checkpoint of Saccade")
    return content


def _check_whole(path: Path) -> None:
    """See that a file is a checkpoint down to its checksums (2 GB/s), which PyTorch does not look at.

    Raises:
        CheckpointError: it is not.
        BadZipFile: it is not even an archive inside.
    """
    with path.open("rb") as file:
        begun = file.read(4) == b"PK\x03\x04"
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is cut short: copy it again" if begun else f"{path} is not a checkpoint")
    with zipfile.ZipFile(path) as archive:
        if archive.testzip() is not None:
            raise CheckpointError(f"{path} is damaged: copy it again")


def check_task(path: str | Path, content: Mapping[str, Any], expected: type[TaskModule]) -> None:
    """See that a checkpoint is of a format we know and of the expected task.

    Raises:
        CheckpointError: it is not.
    """
    origin = content["saccade"]
    if origin.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} was written by Saccade {origin.get('version')}, whose format {version('saccade')} cannot read: "
            f"use that version, or train again"
        )
    if origin.get("task") != expected.task:
        raise CheckpointError(
            f"{path} is a checkpoint for {origin.get('task')}, not for {expected.task}: use {origin.get('script')}"
        )


def check_fit(path: str | Path, content: Mapping[str, Any], module: nn.Module) -> None:
    """See that the weights of a checkpoint are those that `module` wants.

    Raises:
        CheckpointError: they are not; the message names the first that is not.
    """
    misfit = _first_misfit(module, content["state_dict"])
    if misfit is not None:
        raise CheckpointError(f"{path} does not fit{_other_version(content)}: {misfit}")


def load_module(path: str | Path, expected: type[M]) -> M:
    """The model of a checkpoint, on the CPU, in evaluation mode. Pretrained weights are not read a second time.

    Raises:
        CheckpointError: the file cannot be used, is of another task, or does not fit this version of `expected`.
    """
    content = of_one_task(read_checkpoint(path), expected)
    check_task(path, content, expected)
    try:
        with weights_follow():
            module = expected(**_settings(content.get("hyper_parameters", {}), expected))
        check_fit(path, content, module)
        module.load_state_dict(content["state_dict"])
        module.on_load_checkpoint(content)
    except CheckpointError:
        raise
    except _NONSENSE as error:
        raise CheckpointError(f"{path} does not fit{_other_version(content)}: {one_line(error)}") from error
    return module.eval()


def of_one_task(content: dict[str, Any], expected: type[TaskModule]) -> dict[str, Any]:
    """What a checkpoint of several tasks (`JointModule`) holds of one, as a checkpoint of that task alone would; what
    is no such checkpoint is given back as it is."""
    settings = content.get("hyper_parameters", {})
    recipes, name = settings.get("tasks"), expected.task
    if not isinstance(recipes, dict) or name not in recipes:
        return content
    shared = {"encoder": settings["encoder"], "encoder_weights": None, **settings["lexicons"][name]}
    weights, prefix = content["state_dict"], f"tasks.{name}."
    return {
        "saccade": content["saccade"] | {"task": name, "script": expected.script},
        "hyper_parameters": recipes[name].get("init_args", {}) | shared,
        "state_dict": {key.removeprefix(prefix): weights[key] for key in weights if key.startswith(prefix)},
    }


def shared_encoder(encoder: VisualEncoder) -> AbstractContextManager[None]:
    """Models that are made herein take this encoder in the place of one of their own."""
    return holding(_shared, encoder)


def build_encoder(recipe: Part, weights: str | None) -> VisualEncoder:
    """An image encoder with its weights, or the one of `shared_encoder`.

    Args:
        weights: "hub"; the path of a file of timm weights; that of a checkpoint of either task (.ckpt), whose
            encoder is taken over, as it is or as the one on which this one builds; or None for random weights.

    Raises:
        ConfigError: the recipe is wrong.
        CheckpointError: the weights cannot be had or do not fit.
    """
    if (shared := _shared.get()) is not None:
        return shared
    if weights is None or Path(weights).suffix != ".ckpt":
        return build(recipe, VisualEncoder, weights=weights)
    with weights_follow():
        encoder = build(recipe, VisualEncoder, weights=None)
    _take_over(encoder, "encoder", weights, read_checkpoint(weights))
    return encoder


def start_from(path: str | Path, content: dict[str, Any], module: TaskModule) -> None:
    """Begin a new training with the weights of a checkpoint: of its networks, not of its optimiser or its objectives.

    content: what `read_checkpoint` gives of it.

    Raises:
        CheckpointError: it is of another task, knows other words, or has another network; the message
            names the part that does not fit.
    """
    content = of_one_task(content, type(module))
    check_task(path, content, type(module))
    for name in (*LINKS, LEXICONS):
        theirs, ours = content.get("hyper_parameters", {}).get(name), module.hparams.get(name)
        if theirs != ours:
            raise CheckpointError(
                f"{path} has another {name}: {_difference(theirs, ours)}; give the data it learned from"
            )
    for part in module.networks:
        _take_over(module.get_submodule(part), part, path, content)


def _difference(theirs: Any, ours: Any) -> str:
    """How two lists of texts differ."""
    if not (isinstance(theirs, list) and isinstance(ours, list)):
        return "one has none"
    for number, (one, other) in enumerate(zip(theirs, ours, strict=False)):
        if one != other:
            return f"number {number} is {one!r} there and {other!r} here"
    return f"{len(theirs)} there and {len(ours)} here"


def _take_over(module: nn.Module, part: str, path: str | Path, content: Mapping[str, Any]) -> None:
    """Give a part of a model the weights that it has in a checkpoint; those of an encoder alone go to the one like it
    on which the model's builds.

    Raises:
        CheckpointError: they do not fit.
    """
    prefix = f"{part}."
    state = {
        name.removeprefix(prefix): value for name, value in content["state_dict"].items() if name.startswith(prefix)
    }
    while isinstance(module, VisualEncoder) and module.wraps and state.keys().isdisjoint(module.state_dict()):
        module = module.get_submodule(module.wraps)
    misfit = _first_misfit(module, state)
    if misfit is not None:
        raise CheckpointError(f"the {part} of {path} is another one: {misfit}")
    module.load_state_dict(state)


def _settings(hyper_parameters: Mapping[str, Any], expected: type[TaskModule]) -> dict[str, Any]:
    """The constructor's arguments, its dataclasses made again."""
    hints = get_type_hints(expected.__init__)
    settings = {name: _remade(hints.get(name), value) for name, value in hyper_parameters.items()}
    return settings | {"encoder_weights": None} if "encoder_weights" in settings else settings


def _remade(hint: Any, value: Any) -> Any:
    """A dataclass, also one of dataclasses, of the dictionary that it was kept as."""
    if not is_dataclass(hint):
        return value
    hints = get_type_hints(hint)
    return hint(**{name: _remade(hints.get(name), each) for name, each in value.items()})  # type: ignore[operator]


def _first_misfit(module: nn.Module, weights: Mapping[str, torch.Tensor]) -> str | None:
    """What is wrong with the first entry of `weights` that `module` cannot take, None where all fit."""
    own = module.state_dict()
    for name, value in own.items():
        if name not in weights:
            return f"it lacks {name!r}"
        if _shape(weights[name]) != _shape(value):
            return f"{name!r} is {_shape(weights[name])} in the file and {_shape(value)} in the model"
    extra = next((name for name in weights if name not in own), None)
    return None if extra is None else f"it has {extra!r}, which the model has not"


def _shape(value: Any) -> tuple[int, ...] | None:
    """The shape of a tensor; None for what else a part keeps, such as the encoder's preprocessing."""
    return tuple(value.shape) if isinstance(value, torch.Tensor) else None


def _other_version(content: Mapping[str, Any]) -> str:
    writer = content["saccade"].get("version")
    return "" if writer == version("saccade") else f" (written by Saccade {writer}, this is {version('saccade')})"
