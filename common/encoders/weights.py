"""Backbones of timm and detectors of torchvision with weights from a hub, from a local file, or none."""

from __future__ import annotations

import logging
import os
import pickle
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import timm
import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from common.contexts import holding
from common.errors import CheckpointError, ConfigError, nearest, one_line

HUB_TIMEOUT = 5.0  # seconds; without this check the hub's client retries for most of a minute before it gives up
DOWNLOAD_TIMEOUT = 30.0  # seconds without a byte


_following: ContextVar[bool] = ContextVar("_following", default=False)


def weights_follow() -> AbstractContextManager[None]:
    """Encoders made herein are to be given all their weights, so that none are read, or measured on the network."""
    return holding(_following, True)


def will_follow() -> bool:
    """Whether this is called within `weights_follow`."""
    return _following.get()


def create_backbone(
    name: str, weights: str | None, image_size: tuple[int, int] | None, model_args: dict[str, Any]
) -> nn.Module:
    """A timm model without its classifier.

    Raises:
        ConfigError: timm has no model `name`, or it does not take `model_args`.
        CheckpointError: the weights cannot be had or do not fit.
    """
    architecture = name.split(".")[0]
    if not timm.is_model(architecture):
        raise ConfigError(f"timm has no model {name!r}{nearest(architecture, timm.list_models())[:120]}")
    tagged = timm.list_models(f"{architecture}.*", pretrained=True)
    if name != architecture and name not in tagged:
        raise ConfigError(f"timm has no weights {name!r}{nearest(name, tagged)[:120]}")
    if "checkpoint_path" in model_args:  # timm would read that file without our care
        raise ConfigError(f"model_args of {name}: no 'checkpoint_path' here; give the file as encoder_weights")
    arguments = dict(model_args)
    if image_size is not None and _takes_image_size(architecture):
        arguments["img_size"] = tuple(image_size)
    if weights is None:
        return _create(name, arguments, pretrained=False)
    if weights == "hub":
        return _create_from_hub(name, arguments)
    return _create_from_file(name, arguments, Path(weights))


def _create(name: str, arguments: dict[str, Any], pretrained: bool) -> nn.Module:
    """`timm.create_model`, with a clear line for arguments that the model does not take."""
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **arguments)
    except TypeError as error:
        raise ConfigError(f"model_args of {name}: {error}") from error


def _create_from_file(name: str, arguments: dict[str, Any], weights: Path) -> nn.Module:
    """With weights of a local file, which must hold every parameter."""
    if not weights.is_file():
        raise CheckpointError(
            f"no weights file {weights}; give the path of a .safetensors or .pth file, 'hub', or null"
        )
    overlay = {**arguments.pop("pretrained_cfg_overlay", {}), "file": str(weights)}
    try:
        with _missing_keys() as missing:
            backbone = _create(name, arguments | {"pretrained_cfg_overlay": overlay}, pretrained=True)
    except ConfigError:
        raise
    except Exception as error:  # readers of weight files raise anything from EOFError to SafetensorError
        raise CheckpointError(f"weights {weights} do not fit {name}: {_refusal(error)}") from error
    if lacking := sorted(missing & dict(backbone.named_parameters()).keys()):
        raise CheckpointError(
            f"weights {weights} do not fit {name}: the file lacks {len(lacking)} of its parameters, {lacking[0]} first"
        )
    return backbone


@contextmanager
def _missing_keys() -> Iterator[set[str]]:
    """What timm does not find in a weights file: it only logs that, and the layers would silently stay random."""
    logger, missing = logging.getLogger("timm.models._builder"), set[str]()

    def collect(record: logging.LogRecord) -> bool:
        kind, _, rest = record.getMessage().partition("(")
        if kind.startswith("Missing keys"):
            missing.update(rest.partition(")")[0].split(", "))
        return False  # nothing reaches the screen: what is unexpected is the classifier

    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addFilter(collect)
    try:
        yield missing
    finally:
        logger.removeFilter(collect)
        logger.setLevel(level)


def _takes_image_size(architecture: str) -> bool:
    """Models of one input size (ViTs, Swin) must be told another one; CNNs take any."""
    return bool(timm.get_pretrained_cfg_value(architecture, "fixed_input_size"))


def _create_from_hub(name: str, arguments: dict[str, Any]) -> nn.Module:
    """With weights of the hub, from its local cache where the network is away."""
    try:
        with hub_or_cache():
            return _create(name, arguments, pretrained=True)
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise CheckpointError(
            f"the hub cannot be reached for the weights of {name}; connect, or give the path of a local file as"
            " encoder_weights, or null to start from random weights"
        ) from error
    except RuntimeError as error:
        raise CheckpointError(f"no pretrained weights for {name}: {one_line(error)}") from error


@contextmanager
def hub_or_cache() -> Iterator[None]:
    """Herein the hub's client looks into its local cache alone where the hub does not answer, and does not wait."""
    offline = huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = offline or not _hub_answers()
    try:
        yield
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = offline


def _hub_answers() -> bool:
    return _answers(os.environ.get("HF_ENDPOINT", huggingface_hub.constants.ENDPOINT))


def _answers(address: str) -> bool:
    """Whether somebody is there."""
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=HUB_TIMEOUT).close()
    except urllib.error.HTTPError:
        return True  # it answered, if only to say no
    except OSError:
        return False
    return True


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a .safetensors or .pth file; nothing in it is executed.

    Raises:
        CheckpointError: there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise CheckpointError(f"no weights file {path}; give the path of a .safetensors or .pth file, 'hub', or null")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, OSError, EOFError, KeyError, ValueError) as error:
        raise CheckpointError(f"weights {path} cannot be read: {_refusal(error)}") from error
    content = content.get("model", content) if isinstance(content, dict) else None  # as torchvision's training has it
    if not (isinstance(content, dict) and content and all(isinstance(each, Tensor) for each in content.values())):
        raise CheckpointError(f"weights {path} hold no tensors by name: give a state dict")
    return content


def _refusal(error: Exception) -> str:
    """Why a file of weights was refused: of one that is none, its readers say "101", or how to unpickle it anyway."""
    if isinstance(error, PermissionError) or "state_dict" in str(error):
        return one_line(error)[:200]
    return "it is no .safetensors or .pth file of tensors alone, or it is damaged"


def fetch_weights(address: str) -> dict[str, Tensor]:
    """The tensors of a file of PyTorch's hub, downloaded once.

    Raises:
        CheckpointError: it is not there, and the network is away.
    """
    name = address.rpartition("/")[2]
    stored = Path(torch.hub.get_dir(), "checkpoints", name)
    if stored.is_file():
        return read_weights(stored)
    away = (
        f"{address} cannot be reached; connect, or give the path of a local file, or null to start from random weights"
    )
    if not _answers(address):
        raise CheckpointError(away)
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)  # PyTorch would wait for ever
    try:
        with redirect_stdout(sys.stderr):
            torch.hub.load_state_dict_from_url(address, map_location="cpu", check_hash=True, weights_only=True)
    except OSError as error:
        raise CheckpointError(away) from error
    except RuntimeError as error:  # another checksum
        raise CheckpointError(f"{address}: {one_line(error)}") from error
    finally:
        socket.setdefaulttimeout(patience)
    return read_weights(stored)
