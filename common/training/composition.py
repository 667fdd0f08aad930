"""Experiments put together from files and command-line options, left to right."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, TypeGuard, get_args, get_type_hints, is_typeddict

import yaml

from common.errors import ConfigError, nearest, one_line
from common.training.parts import PACKAGES, find_class, read_part

Config = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML, in which 1e-3 is a number, as in YAML 1.2 and everywhere else."""


_FLOAT = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))


def compose(options: Sequence[str]) -> Config:
    """What `--config a.yaml --config b.yaml --model.init_args.optimisation.learning_rate 1e-3` amounts to.

    Later ones win. Mappings are merged key by key, except that another `class_path` starts afresh: the settings of one
    class mean nothing to another. Lists and values are replaced.

    Raises:
        ConfigError: an option that cannot be read.
    """
    config: Config = {}
    remaining = list(options)
    while remaining:
        option = remaining.pop(0)
        name, equals, value = option.removeprefix("--").partition("=")
        if not option.startswith("--") or not name:
            raise ConfigError(f"{option!r} is not an option; options are written as --key value")
        if not equals:
            if not remaining:
                raise ConfigError(f"{option} needs a value")
            value = remaining.pop(0)
        config = merge(config, read_config(value) if name == "config" else _nested(name, _read(value, option)))
    return config


def merge(base: Any, changes: Any) -> Any:
    """`base` with `changes`, as `compose` has it; neither is changed."""
    if not (isinstance(base, Mapping) and isinstance(changes, Mapping)):
        return changes
    if base.get("class_path", changes.get("class_path")) != changes.get("class_path", base.get("class_path")):
        return changes
    return {**base, **{key: merge(base[key], value) if key in base else value for key, value in changes.items()}}


def read_config(path: str | Path) -> Config:
    """The mapping in a YAML file.

    Raises:
        ConfigError: there is no such file, or it holds something else.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigError(f"config {path} cannot be read: {reason}") from error
    config = _read(text, f"config {path}")
    if not isinstance(config, Mapping):
        raise ConfigError(f"config {path} must hold keys with values, such as `model:`")
    return dict(config)


def check_names(config: Config, options: Collection[str], classes: Mapping[str, type]) -> None:
    """See that every key is known, down to the settings of our own classes that it names.

    Args:
        options: the keys there are.
        classes: what the values of some of them are the settings of, or name a subclass of.

    Raises:
        ConfigError: one is not known; the message gives the nearest that is.
    """
    _check_known(config, options, "there is")
    for key, kind in classes.items():
        if isinstance(config.get(key), Mapping):
            _check_settings(config[key], kind, key)


def _check_settings(settings: Mapping[str, Any], kind: type, where: str) -> None:
    """Check the keys of what `kind`, or the subclass named, is to be made of."""
    if "class_path" in settings:
        path, settings = read_part(settings)
        kind, where = find_class(path, kind), f"{where}.init_args"
    _check_known(settings, inspect.signature(kind).parameters, f"{where}: {kind.__name__} has")
    hints = get_type_hints(kind.__init__)  # type: ignore[misc]
    for key, value in settings.items():
        for inner in (hints.get(key), *get_args(hints.get(key))):
            if isinstance(value, Mapping) and _is_ours(inner) and (is_dataclass(inner) or "class_path" in value):
                _check_settings(value, inner, f"{where}.{key}")


def _is_ours(kind: Any) -> TypeGuard[type]:
    return isinstance(kind, type) and kind.__module__.startswith(PACKAGES) and not is_typeddict(kind)


def _check_known(settings: Mapping[str, Any], known: Collection[str], whose: str) -> None:
    for key in settings:
        if key not in known:
            raise ConfigError(f"{whose} no setting {key!r}{nearest(str(key), known)}")


def _read(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{where} is not YAML{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{where} is not YAML: {one_line(error)}") from error


def _nested(name: str, value: Any) -> Config:
    """`{"a": {"b": value}}` for "a.b"."""
    for key in reversed(name.split(".")):
        value = {key: value}
    return value
