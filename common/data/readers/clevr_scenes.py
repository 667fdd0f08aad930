"""CLEVR's scenes: where the objects are in the picture, and which of them a question's program comes to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from common.data.readers.checks import Entry, Slim, require
from common.data.records import NamedBox
from common.errors import DataError

WIDTH, HEIGHT = 480, 320  # pixels of every picture of the release
FOCAL_LENGTH = WIDTH * 35 / 32  # in pixels: a lens of 35 mm before a sensor of 32 mm, as in the release's Blender scene
RADIUS = {"large": 0.7, "small": 0.35}  # of a sphere; a cube of the same name fits into it nearly
PROPERTIES = ("size", "color", "material", "shape")


def scene_boxes(scene: Entry, where: str) -> tuple[NamedBox, ...]:
    """The objects of a scene with estimated boxes: a scene tells the middle of each and how far it is from the camera,
    and its size tells how large it then looks.
    """
    boxes = []
    for index, each in enumerate(scene["objects"]):
        require(each, ("pixel_coords", *PROPERTIES), f"{where}: objects[{index}]")
        try:
            x, y, depth = each["pixel_coords"]
            half = FOCAL_LENGTH * RADIUS[each["size"]] / depth
            left, right = (min(max(edge / WIDTH, 0.0), 1.0) for edge in (x - half, x + half))
            top, bottom = (min(max(edge / HEIGHT, 0.0), 1.0) for edge in (y - half, y + half))
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise DataError(
                f"{where}: objects[{index}] needs pixel_coords [x, y, depth] and a size that is large or small, "
                f"not {each['pixel_coords']}, {each['size']!r}"
            ) from error
        attributes = (each["size"], each["color"], each["material"])
        boxes.append(NamedBox((left, top, right, bottom), each["shape"], attributes))
    return tuple(boxes)


class Step(NamedTuple):
    """One step of a program. inputs: the earlier steps that it goes on from; values: such as ("red",)."""

    function: str
    inputs: tuple[int, ...]
    values: tuple[str, ...]


def lean_steps() -> Slim:
    """What makes a `Step` of each step in a questions file, and of equal ones one: programs are long, but much alike.

    The release calls a step's function `function` and its values `value_inputs`, newly made data `type` and
    `side_inputs`.
    """
    steps: dict[Step, Step] = {}

    def slim(entry: Entry) -> Entry | Step:
        function, values = entry.get("function", entry.get("type")), entry.get("value_inputs", entry.get("side_inputs"))
        if not isinstance(function, str) or not isinstance(entry.get("inputs"), list):
            return entry
        try:
            step = Step(function, tuple(entry["inputs"]), tuple(values or ()))
            return steps.setdefault(step, step)
        except TypeError:  # lists in them: no step that anything could go on from
            return entry

    return slim


def asked_objects(program: Sequence[Step], scene: Entry, where: str) -> list[int]:
    """The indexes of the objects that a program asks about in the end: the one whose colour is asked for, those that
    are counted, both that are compared. `relationships` in the scene says what is left of what.
    """
    found: list[list[int]] = []
    try:
        for step in program:
            found.append(_objects(step, [found[index] for index in step.inputs], scene))
        return found[-1]
    except (IndexError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{where} has a program that does not fit its scene: give the scenes of the same split"
        ) from error


def _objects(step: Step, inputs: list[list[int]], scene: Entry) -> list[int]:
    """The objects that a step comes to. What counts or compares passes on the objects that it is about."""
    objects = scene["objects"]
    everything = range(len(objects))
    kind, _, about = step.function.partition("_")
    if step.function == "scene":
        return list(everything)
    if kind == "filter":
        return _having(objects, inputs[0], about, step.values[0])
    if kind == "same":
        (this,) = inputs[0]
        return _having(objects, set(everything) - {this}, about, objects[this][about])
    if kind == "relate":
        (this,) = inputs[0]
        return list(scene["relationships"][step.values[0]][this])
    return sorted(set(inputs[0]).intersection(*inputs) if kind == "intersect" else set().union(*inputs))


def _having(objects: Sequence[Entry], among: Iterable[int], name: str, value: object) -> list[int]:
    """The objects among these with this value, such as of their colour, in order."""
    return [index for index in sorted(among) if objects[index][name] == value]
