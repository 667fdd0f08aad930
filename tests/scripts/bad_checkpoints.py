"""Checkpoints that must be refused, made of a good one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Malice:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.trace}",)


def _changed(change: Callable[[dict[str, Any], Path], None]) -> Callable[[Path, Path], None]:
    def make(good: Path, bad: Path) -> None:
        content = torch.load(good, weights_only=True)
        change(content, bad)
        torch.save(content, bad)

    return make


def _cut(good: Path, bad: Path) -> None:
    content = good.read_bytes()
    bad.write_bytes(content[: len(content) // 2])


def _flipped(good: Path, bad: Path) -> None:
    content = bytearray(good.read_bytes())
    content[200:400] = bytes(200)
    bad.write_bytes(content)


# What is done to a good checkpoint, and the words that tell of it.
BAD: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "missing": (lambda good, bad: None, "there is no checkpoint"),
    "a folder": (lambda good, bad: bad.mkdir(), "there is no checkpoint"),
    "empty": (lambda good, bad: bad.touch(), "is not a checkpoint"),
    "text": (lambda good, bad: bad.write_text("weights"), "is not a checkpoint"),
    "cut in half": (_cut, "is cut short: copy it again"),
    "damaged": (_flipped, "is damaged: copy it again"),
    "someone else's": (lambda good, bad: torch.save({"state_dict": {}}, bad), "is not a checkpoint of Saccade"),
    "malicious": (_changed(lambda content, bad: content.update(extra=Malice(bad.with_name("ran")))), "is refused"),
    "of another format": (
        _changed(lambda content, bad: content["saccade"].update(format=99, version="9.9")),
        "was written by Saccade 9.9, whose format",
    ),
    "of an unknown task": (
        _changed(lambda content, bad: content["saccade"].update(task="drawing")),
        "is a checkpoint for drawing",
    ),
    "with a setting of another version": (
        _changed(lambda content, bad: content["hyper_parameters"].update(colour="red")),
        "does not fit",
    ),
    "with a setting of another meaning": (
        _changed(lambda content, bad: content["hyper_parameters"].update(vocabulary=["red"])),
        "does not fit",
    ),
    "without a weight": (
        _changed(lambda content, bad: content["state_dict"].pop(list(content["state_dict"])[-1])),
        "it lacks",
    ),
    "without weights": (_changed(lambda content, bad: content.update(state_dict=None)), "is not a checkpoint"),
}
