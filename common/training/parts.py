"""Parts of a model named by plain values: a checkpoint holds its own recipe, and a config file can swap a part."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import partial
from importlib import import_module
from types import ModuleType, NoneType, UnionType
from typing import Any, Literal, TypedDict, TypeVar, Union, get_args, get_origin, get_type_hints, is_typeddict

from common.errors import ConfigError, nearest, one_line

PACKAGES = ("common", "captioning", "vqa")  # what a recipe may import; other modules must be there already
T = TypeVar("T")


# What YAML holds. Not Any: the command line's parser takes a class_path within Any for an object that it is to make.
Value = bool | int | float | str | list | dict | None


class _Named(TypedDict):
    class_path: str


class Part(_Named, total=False):
    """The recipe of one part: the dotted name of its class and what its constructor is given."""

    init_args: dict[str, Value]


class _Misfit(Exception):
    """A value that is not of the annotated type."""


def build(part: Part, base: type[T], **given: Any) -> T:
    """The object that a recipe describes.

    Parts within `init_args` are built too, each bounded by the annotation of its parameter. A parameter annotated as
    `Callable[..., T]` is given a function that builds a T: for parts whose widths only their owner knows.

    Args:
        part: the recipe; it may come from a stranger's checkpoint, so nothing is called before it is found to be a
            subclass of `base`, and nothing outside Saccade is imported.
        base: what the part must be.
        given: values that the model works out, such as `image_dim=512`: each part gets those that its constructor
            names, and no recipe may set them.

    Raises:
        ConfigError: the recipe names an unknown class or key, lacks a key, or has a value of the wrong type.
    """
    path, settings = read_part(part)
    return _construct(find_class(path, base), path, settings, given)


def _construct(kind: type[T], path: str, settings: Mapping[str, Any], given: Mapping[str, Any]) -> T:
    """`kind(**settings)`, with what is given, once all names and types are seen to be right."""
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    _check_names(path, settings, parameters, given)
    hints = get_type_hints(kind.__init__)
    values: dict[str, Any] = {name: value for name, value in given.items() if name in parameters}
    for key, value in settings.items():
        try:
            values[key] = _conform(value, hints.get(key, Any), given)
        except _Misfit:
            raise ConfigError(f"{path}: {key!r} must be {_describe(hints[key])}, not {value!r}") from None
    try:
        return kind(**values)
    except (ValueError, RuntimeError) as error:  # our constructors refuse values so, PyTorch's impossible sizes
        raise ConfigError(f"{path}: {one_line(error)}") from error


def _check_names(
    path: str, settings: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter], given: Mapping[str, Any]
) -> None:
    for key in settings:
        if key not in parameters:
            raise ConfigError(f"{path} has no setting {key!r}{nearest(key, parameters.keys() - given.keys())}")
        if key in given:
            raise ConfigError(f"{path}: {key!r} is worked out by the model ({given[key]!r} here); remove it")
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty and name not in settings and name not in given
    ]
    if missing:
        raise ConfigError(f"{path} needs {', '.join(map(repr, missing))} among its init_args")


def read_part(part: Any) -> tuple[str, Mapping[str, Any]]:
    """The class path and the settings of a recipe.

    Raises:
        ConfigError: it is not written as one.
    """
    if not isinstance(part, Mapping) or not isinstance(part.get("class_path"), str):
        raise ConfigError(f"a part is written as {{class_path: ..., init_args: {{...}}}}, not {part!r}")
    for key in part.keys() - {"class_path", "init_args"}:
        raise ConfigError(f"{part['class_path']}: unknown key {key!r}{nearest(str(key), ('class_path', 'init_args'))}")
    settings = part.get("init_args") or {}
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{part['class_path']}: init_args must be a mapping, not {settings!r}")
    return part["class_path"], settings


def find_class(path: str, base: type[T]) -> type[T]:
    """The class at a dotted path.

    Raises:
        ConfigError: there is none, or it is no subclass of `base`.
    """
    module_name, _, name = path.rpartition(".")
    module = _module(module_name, path)
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, base)):
        fitting = [key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, base)]
        what = "there is none" if found is None else "it is none"
        hint = nearest(name, fitting) if fitting else ""
        raise ConfigError(f"class_path {path!r} must name a kind of {base.__name__}, but {what}{hint}")
    return found


def _module(name: str, path: str) -> ModuleType:
    """A module of ours, imported where need be, or one that the program has imported already."""
    if name in sys.modules:
        return sys.modules[name]
    if name.split(".")[0] not in PACKAGES:
        raise ConfigError(f"class_path {path!r} is neither in {', '.join(PACKAGES)} nor in a module imported before")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # the module is there but needs another that is not
        ours = [known for known in sys.modules if known.split(".")[0] in PACKAGES]
        raise ConfigError(f"class_path {path!r}: there is no module {name!r}{nearest(name, ours)}") from None


def _conform(value: Any, kind: Any, given: Mapping[str, Any]) -> Any:
    """`value` as the annotation `kind` wants it: recipes built, YAML's lists made tuples.

    Raises:
        _Misfit: it is of another type. Annotations beyond those of YAML's values and classes are taken on trust.
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _conform_to_any_of(value, arguments, given)
    if origin is Literal:
        return _require(value in arguments, value)
    if origin in (list, tuple) and isinstance(value, (list, tuple)):
        return _conform_items(value, origin, arguments, given)
    if origin is Callable:
        return _conform_factory(value, arguments[1], given)
    kind = Mapping if is_typeddict(kind) else origin or kind
    if not isinstance(kind, type):
        return value
    if isinstance(value, Mapping) and not issubclass(kind, Mapping):
        return _conform_mapping(value, kind, given)
    return _require(_is_a(value, kind), value)


def _is_a(value: Any, kind: type) -> bool:
    """As a reader of YAML sees it: a whole number will do for a float, but true and false are no numbers."""
    if isinstance(value, bool):
        return kind in (bool, object)
    return isinstance(value, (int, float) if kind is float else kind)


def _conform_items(value: Sequence[Any], kind: type, arguments: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
    """A list, or a tuple of one length (`tuple[int, int]`) or of any (`tuple[int, ...]`)."""
    if kind is list and not isinstance(value, list):
        raise _Misfit
    any_length = kind is list or arguments[1:] == (...,)
    items = [arguments[0]] * len(value) if any_length else arguments
    _require(len(items) == len(value), value)
    return kind(_conform(item, each, given) for item, each in zip(value, items, strict=True))


def _conform_mapping(value: Mapping[str, Any], kind: type, given: Mapping[str, Any]) -> Any:
    """A part of a part, or a dataclass."""
    if "class_path" in value:
        return build(value, kind, **given)  # type: ignore[arg-type]
    if is_dataclass(kind):
        return _construct(kind, kind.__name__, value, {})
    raise _Misfit


def _conform_factory(value: Any, kind: Any, given: Mapping[str, Any]) -> Callable[..., Any]:
    """A function that builds the part; that there is such a class is seen to at once."""
    _require(isinstance(value, Mapping) and "class_path" in value, value)
    base = get_origin(kind) or kind
    find_class(read_part(value)[0], base)
    return partial(build, value, base, **given)


def _conform_to_any_of(value: Any, kinds: tuple[Any, ...], given: Mapping[str, Any]) -> Any:
    for kind in kinds:
        try:
            return _conform(value, kind, given)
        except _Misfit:
            continue
    raise _Misfit


def _require(fits: bool, value: Any) -> Any:
    if not fits:
        raise _Misfit
    return value


def _describe(kind: Any) -> str:
    """An annotation as a reader would write it: `int or None`, `one of 'a', 'b'`."""
    if get_origin(kind) in (Union, UnionType):
        return " or ".join(_describe(each) for each in get_args(kind))
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(repr, get_args(kind)))}"
    if kind is NoneType:
        return "None"
    if get_origin(kind) is Callable:
        return f"the recipe of a {_describe(get_args(kind)[1])}"
    return str(kind) if get_args(kind) else getattr(kind, "__name__", str(kind))
