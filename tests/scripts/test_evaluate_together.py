"""An evaluation that two processes share, as torchrun starts them."""

from __future__ import annotations

import runpy
import socket
import sys
from pathlib import Path

import pytest
import torch.multiprocessing as mp

from tests.scripts.conftest import SCRIPTS, Experiment, Run


def evaluate_as(rank: int, port: int, arguments: list[str], folder: Path) -> None:
    """What torchrun lets each process do; each has a folder and a stderr of its own here, to tell who writes."""
    place = {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}
    with pytest.MonkeyPatch.context() as patch, (folder / f"{rank}.err").open("w") as err:
        for name, value in {**place, "TORCHELASTIC_RUN_ID": "test"}.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stderr", err)
        patch.setattr(sys, "argv", [*arguments, "--out", str(folder / str(rank))])
        runpy.run_path(arguments[0], run_name="__main__")


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("localhost", 0))
        return int(held.getsockname()[1])


@pytest.mark.filterwarnings("ignore:.*multi-threaded")
@pytest.mark.parametrize("kind", ["captioner", "answerer"])
def test_two_processes_find_and_write_what_one_does_to_the_last_digit_and_the_first_shows_it(
    run: Run, kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    experiment: Experiment = request.getfixturevalue(kind)
    options = ["--checkpoint", str(experiment.checkpoint), "--config", str(experiment.config)]
    options += ["--no-meteor", "--no-spice"] if kind == "captioner" else []
    assert run("evaluate", *options, "--out", tmp_path / "alone").code == 0
    together = free_port(), [str(SCRIPTS / "evaluate.py"), *options], tmp_path
    mp.start_processes(evaluate_as, together, nprocs=2, start_method="fork")
    alone, first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("alone", "0", "1")
    )
    assert "metrics.json" in alone
    assert (first, second) == (alone, {})
    shown = [(tmp_path / f"{rank}.err").read_text(encoding="utf-8") for rank in (0, 1)]
    assert ("100%" in shown[0], shown[1]) == (True, "")
