"""METEOR 1.5 (Denkowski and Lavie 2014) by its Java program, which comes with the `java-metrics` extra."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from common.errors import ConfigError


def why_no_meteor() -> str | None:
    """What METEOR lacks on this machine, in a word, or None when it can run."""
    if _jar() is None:
        return "pycocoevalcap is not installed (extra java-metrics)"
    return None if shutil.which("java") else "java is not installed"


def meteor(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> float:
    """METEOR in 0..1 of a whole corpus, with the options of the COCO caption evaluation (`-l en -norm`).

    Raises ConfigError when Java or its program is missing or fails.
    """
    if reason := why_no_meteor():
        raise ConfigError(f"METEOR cannot be computed: {reason}")
    command = ["java", "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(_jar()), "-", "-", "-stdio", "-l", "en", "-norm"]
    pipe = subprocess.PIPE
    try:
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, encoding="utf-8") as java:
            try:
                return _converse(java, hypotheses, references)
            finally:
                java.kill()
    except (OSError, ValueError) as error:
        raise ConfigError(f"METEOR's Java program failed ({error}): check `java -version` and free memory") from error


def _converse(
    java: subprocess.Popen[str], hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> float:
    def ask(*fields: str) -> str:
        print(*fields, sep=" ||| ", file=java.stdin, flush=True)
        return answer()

    def answer() -> str:
        assert java.stdout is not None
        if not (line := java.stdout.readline()):
            raise ValueError("it ended early")
        return line.strip()

    statistics = [
        ask("SCORE", *map(_sentence, (*image_references, hypothesis)))
        for hypothesis, image_references in zip(hypotheses, references, strict=True)
    ]
    scores = [ask("EVAL", *statistics), *(answer() for _ in hypotheses)]  # of each image, and last of the corpus
    return float(scores[-1])


def _jar() -> Path | None:
    package = find_spec("pycocoevalcap")
    folders = package.submodule_search_locations if package else None
    jars = (Path(folder) / "meteor" / "meteor-1.5.jar" for folder in folders or ())
    return next((jar for jar in jars if jar.exists()), None)


def _sentence(tokens: Sequence[str]) -> str:
    """The tokens as one field of the program's line protocol."""
    return " ".join(" ".join(tokens).replace("|||", "").split())
