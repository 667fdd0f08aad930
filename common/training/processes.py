"""Runs in processes of their own, one after the other or several at once: a crash takes nothing with it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from tqdm import tqdm

from common.errors import EXIT_INTERRUPTED, Terminated
from common.training.comparison import FAILURE, LOG, Result, Run

POLL = 0.1  # seconds between two looks at who has ended
GRACE, PATIENCE = 3.0, 15.0  # seconds to end in, for a run that may have been told to, and for one that was


class _Active(NamedTuple):
    run: Run
    process: subprocess.Popen[bytes]
    log: IO[bytes] | None

    def close(self) -> None:
        if self.log is not None:
            self.log.close()


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises `Terminated` herein: by itself it would end this process and leave those behind that it began."""

    def terminate(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@_terminable()
def carry_out(
    runs: Sequence[Run],
    command: Callable[[Run], Sequence[str]],
    headline: Callable[[Result], str],
    jobs: int = 1,
) -> dict[Path, str]:
    """Do the runs that have no result yet, each by its command, which is to write it.

    Returns, for the folder of each that failed, why it did, in one line.

    One after the other, their output is seen; with several at once it goes into each run's log, and a bar tells how far
    all have come. The processors are shared out evenly.

    Args:
        headline: of a result, for the screen.

    Raises:
        KeyboardInterrupt, Terminated: it was interrupted, or sent SIGTERM; all processes have ended.
        SaccadeError: a folder cannot be written to, or holds something else.
    """
    waiting = [run for run in runs if run.result() is None]
    seconds = [result.seconds for run in runs if (result := run.result()) is not None]
    progress = _Screen(len(runs), seconds, headline) if jobs == 1 else _Bar(len(runs), seconds, headline)
    faults: dict[Path, str] = {}
    active: list[_Active] = []
    try:
        while waiting or active:
            while waiting and len(active) < jobs:
                run = waiting.pop(0)
                progress.begins(run)
                active.append(_start(run, command(run), jobs))
            time.sleep(POLL)
            for each in _take_ended(active):
                fault = _fault(each.run, each.process.returncode)
                if fault is not None:
                    faults[each.run.folder] = fault
                progress.ended(each.run, fault)
    except Terminated:
        for each in active:
            each.process.terminate()
        raise
    finally:
        _end(active)
        progress.close()
    return faults


def cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start(run: Run, command: Sequence[str], jobs: int) -> _Active:
    run.prepare()
    if jobs == 1:
        return _Active(run, subprocess.Popen(command), None)
    log = (run.folder / LOG).open("wb")
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, cores() // jobs))}
    return _Active(run, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment), log)


def _take_ended(active: list[_Active]) -> list[_Active]:
    """Those that have ended, out of the list."""
    ended = [each for each in active if each.process.poll() is not None]
    for each in ended:
        active.remove(each)
        each.close()
    return ended


def _fault(run: Run, code: int) -> str | None:
    """Why a run that has ended has no result: in its own words, or by the code that it ended with."""
    if code == EXIT_INTERRUPTED:
        raise KeyboardInterrupt
    if code == 0 and run.result() is not None:
        return None
    if (run.folder / FAILURE).exists():
        return (run.folder / FAILURE).read_text(encoding="utf-8")
    if code < 0:
        return f"it was ended by {signal.Signals(-code).name}{', as when memory runs out' if code == -9 else ''}"
    return f"it ended with exit code {code} and told no reason"


def _end(active: Sequence[_Active]) -> None:
    """End the processes that are left. Those that heard the terminal's Ctrl-C as well, or were told SIGTERM, are about
    to end themselves. A second signal cuts the waiting short."""
    try:
        _wait(active, GRACE)
        for each in active:
            each.process.send_signal(signal.SIGINT)  # nothing, to one that has ended
        _wait(active, PATIENCE)
    finally:
        for each in active:
            each.process.kill()
            each.process.wait()
            each.close()


def _wait(active: Sequence[_Active], patience: float) -> None:
    """Until all have ended, or for so many seconds."""
    until = time.monotonic() + patience
    for each in active:
        with suppress(subprocess.TimeoutExpired):
            each.process.wait(max(0.0, until - time.monotonic()))


class _Screen:
    """A line before each run and one after it; between them the run has the screen."""

    def __init__(self, total: int, seconds: list[float], headline: Callable[[Result], str]) -> None:
        self.total = total
        self.seconds = seconds
        self.headline = headline
        self.count = len(seconds)
        if seconds:
            print(f"{len(seconds)} of {total} runs are done already", flush=True)

    def begins(self, run: Run) -> None:
        left = ""
        if self.seconds:
            left = f"; about {_duration((self.total - self.count) * sum(self.seconds) / len(self.seconds))} left"
        self.count += 1
        print(f"\n== {self.count} of {self.total}: {run.name}{left}", flush=True)

    def ended(self, run: Run, fault: str | None) -> None:
        result = None if fault else run.result()
        if result is None:
            print(f"{run.name} failed: {fault}", flush=True)
        else:
            self.seconds.append(result.seconds)
            print(f"{run.name}: {self.headline(result)} ({_duration(result.seconds)})", flush=True)

    def close(self) -> None:
        """There is nothing to close."""


class _Bar:
    """One bar for all runs, with what the last one came to."""

    def __init__(self, total: int, seconds: list[float], headline: Callable[[Result], str]) -> None:
        self.headline = headline
        self.bar = tqdm(total=total, initial=len(seconds), desc="runs", unit="run")

    def begins(self, run: Run) -> None:
        """The bar counts what has ended."""

    def ended(self, run: Run, fault: str | None) -> None:
        result = None if fault else run.result()
        if result is None:
            self.bar.write(f"{run.name} failed: {fault}")
        else:
            self.bar.set_postfix_str(f"{run.name}: {self.headline(result)}")
        self.bar.update()

    def close(self) -> None:
        self.bar.close()


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{seconds:.0f} s" if minutes < 1 else f"{minutes:.1f} min" if minutes < 60 else f"{minutes / 60:.1f} h"
