"""Backbones of timm with pretrained weights from the hub, from a local file, or none."""

from __future__ import annotations

import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import timm
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from torch import nn

from common.errors import CheckpointError, ConfigError, nearest, one_line

HUB_TIMEOUT = 5.0  # seconds; without this check the hub's client retries for most of a minute before it gives up


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
        raise CheckpointError(f"weights {weights} do not fit {name}: {one_line(error)[:200]}") from error
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
    offline = huggingface_hub.constants.HF_HUB_OFFLINE
    huggingface_hub.constants.HF_HUB_OFFLINE = offline or not _hub_answers()
    try:
        return _create(name, arguments, pretrained=True)
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise CheckpointError(
            f"the hub cannot be reached for the weights of {name}; connect, or give the path of a local file as"
            " encoder_weights, or null to start from random weights"
        ) from error
    except RuntimeError as error:
        raise CheckpointError(f"no pretrained weights for {name}: {one_line(error)}") from error
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE = offline


def _hub_answers() -> bool:
    endpoint = os.environ.get("HF_ENDPOINT", huggingface_hub.constants.ENDPOINT)
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=HUB_TIMEOUT).close()
    except urllib.error.HTTPError:
        return True  # it answered, if only to say no
    except OSError:
        return False
    return True
