"""The Java programs of the official COCO caption evaluation, which come with the `java-metrics` extra."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from common.errors import ConfigError

METEOR_JAR = "meteor/meteor-1.5.jar"
TOKENIZER_JAR = "tokenizer/stanford-corenlp-3.4.1.jar"
SPICE_JAR = "spice/spice-1.0.jar"
# SPICE's parser, 400 MB that pip does not bring
SPICE_PARTS = ("spice/lib/stanford-corenlp-3.6.0.jar", "spice/lib/stanford-corenlp-3.6.0-models.jar")

START_SECONDS = 120.0  # that any program may take; METEOR loads its tables in about ten
SECONDS_EACH = 0.2  # and this for each caption more: some fifty times what METEOR takes
QUOTED = 300  # signs of what a program says before it fails


def why_not(*files: str) -> str | None:
    """What this machine lacks for a program that needs these files of pycocoevalcap, in a few words, or None."""
    if find_spec("pycocoevalcap") is None:
        return "pycocoevalcap is not installed (extra java-metrics)"
    if missing := [file for file in files if not located(file).exists()]:
        return f"{located(missing[0])} is missing"
    return None if shutil.which("java") else "java is not installed"


def located(file: str) -> Path:
    """Where a file of pycocoevalcap is, or would be."""
    package = find_spec("pycocoevalcap")
    folders = list(package.submodule_search_locations or ()) if package else []
    return next((Path(folder) / file for folder in folders), Path(file))


def allowed_seconds(captions: int) -> float:
    """How long a program may take for so many captions before it counts as stuck."""
    return START_SECONDS + SECONDS_EACH * captions


def run(name: str, command: Sequence[str | Path], text: str, seconds: float, folder: Path | None = None) -> str:
    """What a program prints when it is given the text.

    folder: to run in. Raises ConfigError, with the program's own words, where it fails or takes longer than `seconds`.
    """
    try:
        done = subprocess.run(
            ["java", *map(str, command)],
            input=text.encode(),
            capture_output=True,
            timeout=seconds,
            cwd=folder,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise failed(name, f"it took longer than {seconds:.0f} s") from error
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.decode(errors="replace").split())
        raise failed(name, f"exit code {error.returncode}: {said[:QUOTED]}") from error
    except OSError as error:
        raise failed(name, str(error)) from error
    return done.stdout.decode(errors="replace")


def failed(name: str, reason: object) -> ConfigError:
    """The error for a program that did not do its work."""
    return ConfigError(f"{name}'s Java program failed ({reason}): check `java -version` and free memory")
