from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
import yaml

from common.errors import CheckpointError, ConfigError, run_script
from common.training.checkpoints import load_module, read_checkpoint
from common.training.cli import TrainingCLI
from tests.common.training.stand_ins import Adder

ROOT = Path(__file__).parents[3]
STAND_INS = "tests.common.training.stand_ins"
CONFIG: dict[str, Any] = {
    "model": {
        "class_path": f"{STAND_INS}.Adder",
        "init_args": {"layer": {"class_path": "torch.nn.Linear", "init_args": {"out_features": 1}}},
    },
    "data": {"class_path": f"{STAND_INS}.Numbers"},
    "trainer": {
        "max_epochs": 2,
        "log_every_n_steps": 5,
        "accelerator": "cpu",
        "enable_progress_bar": False,
        "enable_model_summary": False,
    },
}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "adder.yaml"
    path.write_text(yaml.safe_dump({**CONFIG, "folder": str(tmp_path / "run")}))
    return str(path)


@pytest.fixture(autouse=True)
def _environment_restored() -> Iterator[None]:
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)
    wandb.teardown()


def losses(cli: TrainingCLI) -> list[float]:
    assert isinstance(cli.model, Adder)
    return cli.model.losses


def test_a_run_leaves_its_checkpoints_and_settings_in_its_folder(config: str, tmp_path: Path) -> None:
    cli = TrainingCLI(["fit", "--config", config, "--model.init_args.dropout=0.25"])
    folder = tmp_path / "run"
    assert {"best.ckpt", "last.ckpt", "config.yaml"} <= {path.name for path in folder.iterdir()}
    module = load_module(folder / "last.ckpt", Adder)
    assert module.hparams["vocabulary"] == ["a", "b", "c"]  # linked from the data
    assert module.dropout.p == 0.25
    torch.testing.assert_close(module.layer.weight, cli.model.layer.weight)


def test_the_settings_on_record_give_the_same_run_again(config: str, tmp_path: Path) -> None:
    first = TrainingCLI(["fit", "--config", config, "--seed_everything", "3"])
    again = TrainingCLI(["fit", "--config", str(tmp_path / "run" / "config.yaml"), "--folder", str(tmp_path / "again")])
    other = TrainingCLI(["fit", "--config", config, "--seed_everything=4", f"--folder={tmp_path / 'other'}"])
    assert losses(first) == losses(again) != losses(other)


def test_a_run_in_the_way_is_not_overwritten_but_resumed(config: str, tmp_path: Path) -> None:
    TrainingCLI(["fit", "--config", config])
    last = tmp_path / "run" / "last.ckpt"
    with pytest.raises(
        ConfigError, match=r"holds a run: go on with --ckpt_path .*last\.ckpt, or give another --folder"
    ):
        TrainingCLI(["fit", "--config", config])
    resumed = TrainingCLI(["fit", "--config", config, "--trainer.max_epochs=3", f"--ckpt_path={last}"])
    assert len(losses(resumed)) == 6
    assert torch.load(last, weights_only=True)["epoch"] == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "usage: python scripts/train.py fit --config FILE"),
        (["train"], "usage: python scripts/train.py fit"),
        (["--model.init_args.dropout=much"], "model.dropout: Expected a float. Got value: much"),
        (["--model.init_args.optimisation.schedule=bumpy"], "Literal['constant', 'cosine', 'linear']"),
        (["--trainer.max_epochs=many"], "trainer.max_epochs: Expected a int"),
        (["--trainer.precision=bf16-true"], "must be one of 32-true, bf16-mixed, 16-mixed, not bf16-true"),
        (
            ["--model.init_args.layer.init_args.out_featurs=2"],
            "has no setting 'out_featurs'; did you mean 'out_features'?",
        ),
        (["--model.init_args.layer.init_args.out_features=x"], "'out_features' must be int, not 'x'"),
        (["--model.init_args.layer.init_args.out_features=-2"], "negative dimension -2"),
        (["--data", "null"], "data"),
        (["--folder", "null"], "folder"),
        (["--ckpt_path", "nowhere.ckpt"], "there is no checkpoint nowhere.ckpt"),
        (["--start_from", "nowhere.ckpt"], "there is no checkpoint nowhere.ckpt"),
    ],
)
def test_faults_are_told_in_one_line(config: str, arguments: list[str], message: str) -> None:
    begin = ["fit", "--config", config] if arguments and arguments[0].startswith("--") else []
    with pytest.raises((ConfigError, CheckpointError)) as caught:
        TrainingCLI([*begin, *arguments])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_shape_cannot_be_resumed(config: str, tmp_path: Path) -> None:
    TrainingCLI(["fit", "--config", config])
    wider = "--model.init_args.layer.init_args.out_features=2"
    with pytest.raises(CheckpointError, match=r"'layer.weight' is \(1, 3\) in the file and \(2, 3\) in the model"):
        TrainingCLI(["fit", "--config", config, wider, f"--ckpt_path={tmp_path / 'run' / 'last.ckpt'}"])


def test_a_training_begins_with_the_weights_of_another_and_with_nothing_else(config: str, tmp_path: Path) -> None:
    first = TrainingCLI(["fit", "--config", config])
    best = tmp_path / "run" / "last.ckpt"
    still = ["--model.init_args.optimisation.learning_rate=0", f"--folder={tmp_path / 'next'}"]
    begun = TrainingCLI(["fit", "--config", config, *still, f"--start_from={best}"])
    torch.testing.assert_close(begun.model.layer.weight, first.model.layer.weight, rtol=0, atol=0)
    assert len(losses(begun)) == len(losses(first))  # from its own first epoch on
    settings = yaml.safe_load((tmp_path / "next" / "config.yaml").read_text())
    assert settings["start_from"] == str(best)
    best.unlink()
    resume = ["--trainer.max_epochs=3", f"--ckpt_path={tmp_path / 'next' / 'last.ckpt'}"]
    TrainingCLI(["fit", "--config", str(tmp_path / "next" / "config.yaml"), *resume])


def test_the_checkpoint_to_go_on_or_begin_from_is_read_once(
    config: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    TrainingCLI(["fit", "--config", config])
    last, read = tmp_path / "run" / "last.ckpt", []
    for module in ("cli", "checkpoints"):
        monkeypatch.setattr(
            f"common.training.{module}.read_checkpoint", lambda path: read.append(path) or read_checkpoint(path)
        )
    TrainingCLI(["fit", "--config", config, f"--folder={tmp_path / 'next'}", f"--start_from={last}"])
    TrainingCLI(["fit", "--config", config, "--trainer.max_epochs=3", f"--ckpt_path={last}"])
    assert read == [str(last)] * 2


def test_a_training_does_not_begin_with_another_network(config: str, tmp_path: Path) -> None:
    TrainingCLI(["fit", "--config", config])
    other = ["--model.init_args.layer.init_args.out_features=2", f"--folder={tmp_path / 'next'}"]
    with pytest.raises(
        CheckpointError, match=r"^the layer of .*last\.ckpt is another one: 'weight' is \(1, 3\) in the"
    ):
        TrainingCLI(["fit", "--config", config, *other, f"--start_from={tmp_path / 'run' / 'last.ckpt'}"])


def test_print_config_shows_all_settings_and_trains_nothing(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        TrainingCLI(["fit", "--config", config, "--trainer.max_epochs=7", "--print_config"])
    shown = yaml.safe_load(capsys.readouterr().out)
    assert caught.value.code in (None, 0)
    assert shown["trainer"]["max_epochs"] == 7
    assert shown["model"]["init_args"]["optimisation"]["schedule"] == "cosine"
    assert not (tmp_path / "run").exists()


def run(*arguments: str) -> int:
    """What `scripts/train.py` does, in this process; the exit code."""
    try:
        run_script(lambda: TrainingCLI(arguments))  # type: ignore[arg-type]
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_an_interrupted_run_says_how_to_go_on_and_keeps_its_last_checkpoint(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    assert run("fit", "--config", config, f"--trainer.callbacks={STAND_INS}.ControlC") == 130
    signal.signal(signal.SIGINT, handler)  # Lightning ignores further signals while it shuts down
    last = tmp_path / "run" / "last.ckpt"
    command = f"go on with: python scripts/train.py fit --config {tmp_path}/run/config.yaml --ckpt_path {last}"
    assert capsys.readouterr().err.strip().splitlines()[-1] == f"interrupted; {command}"
    assert torch.load(last, weights_only=True)["epoch"] == 0
    assert (
        run("fit", "--config", str(tmp_path / "run" / "config.yaml"), "--trainer.callbacks=null", f"--ckpt_path={last}")
        == 0
    )


def test_a_full_disk_ends_the_run_with_one_line_and_the_earlier_checkpoint_whole(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    TrainingCLI(["fit", "--config", config, "--trainer.max_epochs=1"])
    last = tmp_path / "run" / "last.ckpt"
    for name in ("best", "last"):
        Path(tmp_path / "run" / f".{name}.ckpt.{os.getpid()}.part").symlink_to("/dev/full")
    assert run("fit", "--config", config, f"--ckpt_path={last}") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith("error: ")
    assert line.endswith(".ckpt: No space left on device; what was there before is whole")
    assert torch.load(last, weights_only=True)["epoch"] == 0


@pytest.mark.parametrize(
    ("batch", "words"), [(1, r"the loss is (nan|inf) at step 11"), (5, r"layer\.weight is not finite at step 12")]
)
def test_a_diverging_run_ends_with_one_line_and_the_earlier_checkpoint_whole(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], batch: int, words: str
) -> None:
    spoil = json.dumps({"class_path": f"{STAND_INS}.Diverges", "init_args": {"batch": batch}})
    assert run("fit", "--config", config, f"--trainer.callbacks={spoil}") == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert re.match(rf"error: training has diverged: {words}; .*learning_rate.*gradient_clip_val", line)
    for name in ("last", "best"):
        assert torch.load(tmp_path / "run" / f"{name}.ckpt", weights_only=True)["epoch"] == 0


def in_a_process_of_its_own(arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """`scripts/train.py`, with the stand-ins imported."""
    code = (
        f"import sys, runpy; sys.path.insert(0, {str(ROOT)!r}); import {STAND_INS}; "
        f"sys.argv = ['train.py', *{arguments!r}]; runpy.run_path({str(ROOT / 'scripts/train.py')!r}, "
        "run_name='__main__')"
    )
    keep = {key: value for key, value in os.environ.items() if not key.startswith("WANDB")}
    return subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={**keep, **environment},
        timeout=120,
        check=False,
    )


def records(run: Path) -> list[dict[str, Any]]:
    """What an offline run holds, as wandb's own reader has it."""
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(run)]
    lines = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
def test_a_run_without_account_is_offline_and_read_back_has_config_metrics_and_media(
    config: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    done = in_a_process_of_its_own(["fit", "--config", config], HOME=str(home), MPLCONFIGDIR=str(tmp_path / "fonts"))
    assert done.returncode == 0, done.stderr
    assert sum("offline" in line for line in (done.stdout + done.stderr).splitlines()) == 1
    assert not list(home.iterdir()), "something was written outside the run's folder"
    (run,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    found = json.dumps(records(run))
    for name in ("train/loss", "val/closeness", "examples", "attention", "out_features"):
        assert name in found
    assert len(list((run / "files" / "media" / "images").glob("attention*.png"))) == 2
