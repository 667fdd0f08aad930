"""What goes wrong because of what a user gave, told in one line, and the exit codes of the scripts."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Iterable
from difflib import get_close_matches

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
EXIT_TERMINATED = 143  # 128 + SIGTERM


class SaccadeError(Exception):
    """A fault in what the user gave: the message is one line that says what, where and how to mend it."""


class DataError(SaccadeError):
    """An annotation file or a record that cannot be used."""


class ImageError(SaccadeError):
    """An image file that cannot be used; the message names the file."""


class ConfigError(SaccadeError):
    """A setting with a wrong name, type or value."""


class CheckpointError(SaccadeError):
    """A checkpoint that cannot be read or does not fit."""


class Terminated(BaseException):
    """SIGTERM, where something must be put in order first; like KeyboardInterrupt, no fault."""


def nearest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` for the nearest known name, or the names there are when none is near."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(names)}"


def one_line(error: BaseException) -> str:
    """What another library's exception says, without its line breaks; the exception's name where it says nothing."""
    return " ".join(str(error).split()) or type(error).__name__


def has_lone_surrogate(text: str) -> bool:
    """Whether the text holds half of a sign: bytes of another encoding, or a cut JSON escape."""
    return not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text)


def run_script(main: Callable[[], None]) -> None:
    """Run a script's `main`; a `SaccadeError` becomes one line on stderr and exit code 2, Ctrl-C exit code 130,
    `Terminated` 143.

    What the terminal's encoding has no signs for, as in a file name of another one, is printed as `\\xe9` or `\\u65e5`.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # else it is someone's stand-in
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr does already
    try:
        main()
    except SaccadeError as error:
        print(f"error: {_message(error)}", file=sys.stderr)
        sys.exit(EXIT_BAD_INPUT)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except Terminated:
        print("terminated", file=sys.stderr)
        sys.exit(EXIT_TERMINATED)
    except BrokenPipeError:  # the reader of our output has gone (`... | head`); a second one at exit must not show
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _message(error: SaccadeError) -> str:
    """The error's one line, without the traceback that PyTorch puts before it when a loader's worker raised it."""
    text = str(error).rstrip()
    if not text.startswith("Caught "):
        return text
    return text.rpartition("\n")[2].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")
