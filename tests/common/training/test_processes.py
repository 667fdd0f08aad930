"""Runs whose process does next to nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from common.errors import Terminated
from common.training.comparison import FAILURE, LOG, RECIPE, Kind, Result, Run, runs_of
from common.training.processes import carry_out, cores

RECIPES = {"seen": {"a": 1}, "other": {"a": 2}}
WRITE = (
    "import json, os, sys; print('at work'); file = open(sys.argv[1] + '/result.json', 'w'); json.dump(dict("
    "recipe={recipe}, measures=dict(quality=3.0), seconds=90.0, device='CPU',"
    " threads=int(os.environ.get('OMP_NUM_THREADS', 0)), jobs=1), file)"
)


def runs_in(folder: Path, seeds: int = 1) -> list[Run]:
    return runs_of([Kind(name, recipe) for name, recipe in RECIPES.items()], seeds, folder)


def python(code: str) -> Callable[[Run], Sequence[str]]:
    """A command that runs this code, with the run's folder as its argument."""
    return lambda run: [sys.executable, "-c", code.replace("{recipe}", str(run.kind.recipe)), str(run.folder)]


def headline(result: Result) -> str:
    return f"quality {result.measures['quality']}"


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_run_is_done_once(tmp_path: Path, jobs: int) -> None:
    runs = runs_in(tmp_path, 2)
    assert carry_out(runs, python(WRITE), headline, jobs) == {}
    assert all(run.result() is not None for run in runs)
    assert carry_out(runs, python("import sys; sys.exit(1)"), headline, jobs) == {}


def test_one_after_the_other_the_screen_tells_which_of_how_many_and_how_long(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    carry_out(runs_in(tmp_path), python(WRITE), headline)
    out = capfd.readouterr().out
    assert [line for line in out.splitlines() if line] == [
        "== 1 of 2: seen, seed 0",
        "at work",
        "seen, seed 0: quality 3.0 (1.5 min)",
        "== 2 of 2: other, seed 0; about 1.5 min left",
        "at work",
        "other, seed 0: quality 3.0 (1.5 min)",
    ]
    carry_out(runs_in(tmp_path, 2), python(WRITE), headline)
    out = capfd.readouterr().out
    assert out.startswith("2 of 4 runs are done already")
    assert "== 3 of 4: seen, seed 1; about 3.0 min left" in out


def test_several_at_once_share_the_processors_and_write_logs_and_one_bar_is_seen(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = runs_in(tmp_path)
    carry_out(runs, python(WRITE), headline, jobs=2)
    seen = capfd.readouterr()
    assert "at work" not in seen.out + seen.err
    assert "quality 3.0" in seen.err
    for run in runs:
        result = run.result()
        assert result is not None
        assert (run.folder / LOG).read_text() == "at work\n"
        assert result.threads == max(1, cores() // 2)


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        (f"import sys; open(sys.argv[1] + '/{FAILURE}', 'w').write('it diverged'); sys.exit(2)", "it diverged"),
        ("import sys; sys.exit(3)", "it ended with exit code 3 and told no reason"),
        ("pass", "it ended with exit code 0 and told no reason"),
        ("import os; os.kill(os.getpid(), 9)", "it was ended by SIGKILL, as when memory runs out"),
        ("import os; os.kill(os.getpid(), 11)", "it was ended by SIGSEGV"),
    ],
)
def test_a_run_that_fails_is_told_in_a_line_and_the_others_go_on(
    tmp_path: Path, jobs: int, code: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    bad, good = runs_in(tmp_path)

    def command(run: Run) -> Sequence[str]:
        return python(code if run is bad else WRITE)(run)

    assert carry_out([bad, good], command, headline, jobs) == {bad.folder: words}
    assert good.result() is not None
    assert f"{bad.name} failed: {words}" in capfd.readouterr().out
    assert carry_out([bad, good], python(WRITE), headline, jobs) == {}  # a failure is tried again


def test_a_run_that_was_interrupted_interrupts_all(tmp_path: Path) -> None:
    runs = runs_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        carry_out(runs, python("import sys; sys.exit(130)"), headline)
    assert not runs[1].folder.exists()


SLEEP = "import os, sys, time; open(sys.argv[1] + '/pid', 'w').write(str(os.getpid())); time.sleep(60)"
DEAF = "import signal; [signal.signal(each, signal.SIG_IGN) for each in (signal.SIGINT, signal.SIGTERM)]; " + SLEEP


def send_once_at_work(runs: Sequence[Run], *signals: signal.Signals) -> None:
    """Have these signals sent to this process, some time apart, when all runs are at work."""

    def send() -> None:
        while not all((run.folder / "pid").exists() and (run.folder / "pid").read_text() for run in runs):
            time.sleep(0.05)
        for each in signals:
            os.kill(os.getpid(), each)
            time.sleep(0.5)

    threading.Thread(target=send, daemon=True).start()


def assert_ended(runs: Sequence[Run]) -> None:
    for run in runs:
        assert (run.folder / RECIPE).exists()
        assert subprocess.run(["kill", "-0", (run.folder / "pid").read_text()], capture_output=True).returncode != 0


@pytest.mark.slow
@pytest.mark.parametrize(("sent", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_an_interruption_ends_the_processes_too(
    tmp_path: Path, sent: signal.Signals, raised: type[BaseException]
) -> None:
    runs, handler = runs_in(tmp_path), signal.getsignal(signal.SIGTERM)
    send_once_at_work(runs, sent)
    start = time.monotonic()
    with pytest.raises(raised):
        carry_out(runs, python(SLEEP), headline, jobs=2)
    assert time.monotonic() - start < 30
    assert_ended(runs)
    assert signal.getsignal(signal.SIGTERM) == handler


def test_a_second_interruption_ends_processes_that_hear_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.training.processes.GRACE", 60.0)
    runs = runs_in(tmp_path)
    send_once_at_work(runs, signal.SIGTERM, signal.SIGINT)
    start = time.monotonic()
    with pytest.raises((Terminated, KeyboardInterrupt)):
        carry_out(runs, python(DEAF), headline, jobs=2)
    assert time.monotonic() - start < 30
    assert_ended(runs)
