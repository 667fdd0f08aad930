"""What the scripts' command lines have in common."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NoReturn

import torch
from tqdm import tqdm

from common.errors import EXIT_BAD_INPUT, ConfigError, SaccadeError, has_lone_surrogate


class Parser(argparse.ArgumentParser):
    """Tells what is wrong with an option in one line, as every other fault is told."""

    def __init__(self, description: str | None) -> None:
        """description: shown with its own line breaks."""
        super().__init__(
            description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )

    def error(self, message: str) -> NoReturn:
        """Raise ConfigError."""
        raise ConfigError(f"{message}; --help lists the options")

    def add_device(self) -> None:
        """`--device`, "cpu" unless told."""
        self.add_argument("--device", type=usable_device, default=torch.device("cpu"), help="such as cuda; default cpu")

    def add_pictures(self) -> None:
        """What is done to people's own pictures."""
        self.add_argument("pictures", nargs="+", help="files, folders or globs")
        self.add_argument("--overlay", type=Path, metavar="FOLDER", help="write each picture with its attention there")
        self.add_argument("--parts", action="store_true", help="draw each head, hop or glimpse too, beside the overlay")
        self.add_argument("--format", choices=["png", "pdf", "svg"], default="png", help="of the overlays")
        self.add_argument("--json", action="store_true", help="one JSON object a line, for machines")
        self.add_argument("--batch-size", type=at_least_one, default=16, metavar="N", help="default 16")
        self.add_device()


def has_parts(options: argparse.Namespace, part_axis: str | None) -> bool:
    """Whether pictures of the attention's parts are wanted and can be had; says so where they cannot."""
    if options.parts and part_axis is None:
        print(
            "note: --parts has no effect: this attention has one look, without heads, hops or the like", file=sys.stderr
        )
    return options.parts and part_axis is not None


def at_least_one(text: str) -> int:
    """An option's value as a whole number from 1 on."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 on, not {text!r}")
    return int(text)


def seed(text: str) -> int:
    """An option's value as what every generator of random numbers takes for a seed."""
    if not text.strip().isdecimal() or int(text) >= 2**32:
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 to {2**32 - 1}, not {text!r}")
    return int(text)


def whole_text(text: str) -> str:
    """An option's value as text, all of whose bytes are signs of the terminal's encoding."""
    if has_lone_surrogate(text):
        raise argparse.ArgumentTypeError(f"has bytes that are no {sys.getfilesystemencoding()} text: {text!r}")
    return text


def usable_device(text: str) -> torch.device:
    """An option's value as a device that this machine can compute on."""
    try:
        device = torch.device(text)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # what PyTorch was built without asserts
        reason = str(error).strip().partition("\n")[0]  # CUDA's explanations run over many lines
        raise argparse.ArgumentTypeError(f"cannot compute on {text!r}: {reason}") from error
    return device


class Complaints:
    """Tells faults that the rest of the work can go on after."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, fault: SaccadeError) -> None:
        """Tell one, in a line, which no progress bar shares."""
        self.count += 1
        tqdm.write(f"error: {fault}", file=sys.stderr)

    def exit_if_any(self) -> None:
        """End the program with the exit code for bad input if there were any."""
        if self.count:
            sys.exit(EXIT_BAD_INPUT)
