"""METEOR 1.5 (Denkowski and Lavie 2014) by its Java program, which comes with the `java-metrics` extra."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from threading import Timer
from weakref import finalize

import numpy as np
from jaxtyping import Float

from captioning.metrics.java import METEOR_JAR, allowed_seconds, failed, located, why_not
from common.errors import ConfigError

# Of English, section 4 of the paper: how much recall weighs, the penalty's exponent and size, and the share of content
# words; then the weight of a match by the same word, the same stem, a synonym and a paraphrase.
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
MATCHES = np.array([1.0, 0.6, 0.8, 0.6])
STATISTICS = 23
WORDS, CHUNKS, MATCHED = slice(0, 2), 20, slice(21, 23)  # where the statistics have them, of hypothesis and reference


def why_no_meteor() -> str | None:
    """What METEOR lacks on this machine, in a word, or None when it can run."""
    return why_not(METEOR_JAR)


def meteor(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> float:
    """METEOR in 0..1 of a whole corpus, with the options of the COCO caption evaluation (`-l en -norm`).

    Raises ConfigError when Java or its program is missing, fails or gets stuck.
    """
    return float(meteor_of(meteor_statistics(hypotheses, references).sum(0, keepdims=True))[0])


def meteor_statistics(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]], seconds: float | None = None
) -> Float[np.ndarray, "N 23"]:
    """What METEOR adds up over images, as its program counts them against the best reference.

    Words and function words of hypothesis and reference; for each kind of match the content words of both and the
    function words of both that match so; the chunks, and the words of both that match.

    seconds: how long it may take; by default two minutes and what many captions need. Raises as `meteor`.
    """
    with MeteorProgram() as program:
        return program.statistics(hypotheses, references, seconds)


class MeteorProgram:
    """METEOR's Java program. It takes some seconds to start; whoever comes again and again keeps it.

    Raises ConfigError when Java or the program is missing.
    """

    def __init__(self) -> None:
        if reason := why_no_meteor():
            raise ConfigError(f"METEOR cannot be computed: {reason}")
        command = ["java", "-Xmx2G", "-Dfile.encoding=UTF-8", "-jar", str(located(METEOR_JAR))]
        command += ["-", "-", "-stdio", "-l", "en", "-norm"]
        pipe = subprocess.PIPE
        try:
            self._java = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, encoding="utf-8")
        except OSError as error:
            raise failed("METEOR", error) from error
        self._end = finalize(self, _close, self._java)

    def __enter__(self) -> MeteorProgram:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def statistics(
        self,
        hypotheses: Sequence[Sequence[str]],
        references: Sequence[Sequence[Sequence[str]]],
        seconds: float | None = None,
    ) -> Float[np.ndarray, "N 23"]:
        """As `meteor_statistics`; the program has ended where this raises."""
        seconds = allowed_seconds(len(hypotheses)) if seconds is None else seconds
        watch = Timer(seconds, self._java.kill)
        watch.start()
        try:
            rows = [_ask(self._java, *pair) for pair in zip(hypotheses, references, strict=True)]
        except (OSError, ValueError) as error:
            in_time = watch.is_alive()
            self._end()
            raise failed("METEOR", error if in_time else f"it took longer than {seconds:.0f} s") from error
        except BaseException:  # an interruption may leave an answer unread, which would be taken for the next one
            self._end()
            raise
        finally:
            watch.cancel()
        statistics = np.array(rows).reshape(-1, STATISTICS)
        perfect = (statistics[:, MATCHED] == statistics[:, WORDS]).all(1) & (statistics[:, CHUNKS] == 1)
        statistics[perfect, CHUNKS] = 0  # as the program adds them up: a perfect caption has no break
        return statistics


def _close(java: subprocess.Popen[str]) -> None:
    java.kill()
    with suppress(BrokenPipeError):  # of a question that it did not live to read
        java.__exit__(None, None, None)


def meteor_of(sums: Float[np.ndarray, "S 23"]) -> Float[np.ndarray, " S"]:
    """METEOR of sums of statistics: the weighted harmonic mean of precision and recall, less for scattered matches."""
    words, function_words, chunks, matched = sums[:, WORDS], sums[:, 2:4], sums[:, CHUNKS], sums[:, MATCHED]
    kinds = sums[:, 4:20].reshape(-1, len(MATCHES), 2, 2)  # by kind, content or function, hypothesis or reference
    found = np.einsum("skcr,k,c->sr", kinds, MATCHES, np.array([DELTA, 1 - DELTA]))
    precision, recall = _ratio(found, DELTA * (words - function_words) + (1 - DELTA) * function_words).T
    mean = _ratio(precision * recall, ALPHA * precision + (1 - ALPHA) * recall)
    return mean * (1 - GAMMA * _ratio(chunks, matched.mean(1)) ** BETA)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """The quotient, and 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def _ask(java: subprocess.Popen[str], hypothesis: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """The program's statistics for one image."""
    print("SCORE", *map(_sentence, (*references, hypothesis)), sep=" ||| ", file=java.stdin, flush=True)
    assert java.stdout is not None
    if not (line := java.stdout.readline()):
        raise ValueError("it ended early")
    row = [float(number) for number in line.split()]
    if len(row) != STATISTICS:
        raise ValueError(f"it gave {len(row)} numbers where {STATISTICS} were due")
    return row


def _sentence(tokens: Sequence[str]) -> str:
    """The tokens as one field of the program's line protocol."""
    return " ".join(" ".join(tokens).replace("|||", "").split())
