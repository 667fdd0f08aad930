from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from captioning.module import CaptioningModule
from common.training.checkpoints import load_module
from tests.scripts.bad_checkpoints import BAD
from tests.scripts.conftest import SCRIPTS, Experiment, Outcome, Run

MODEL, DATA = "--model.init_args", "--data.init_args"


def fit(run: Run, experiment: Experiment, tmp_path: Path, *options: object) -> Outcome:
    return run("train", "fit", "--config", experiment.config, "--folder", tmp_path / "run", *options)


def test_a_run_is_gone_on_with_from_its_last_checkpoint(run: Run, captioner: Experiment, tmp_path: Path) -> None:
    last = tmp_path / "run" / "last.ckpt"
    assert fit(run, captioner, tmp_path).code == 0
    outcome = fit(run, captioner, tmp_path, "--ckpt_path", last, "--trainer.max_epochs", 2)
    assert outcome.code == 0
    assert outcome.out.startswith("best val/CIDEr-D")
    assert torch.load(last, weights_only=True)["epoch"] == 1


def test_data_of_the_other_task_are_refused(
    run: Run, captioner: Experiment, answerer: Experiment, tmp_path: Path
) -> None:
    words = "class_path 'vqa.data.VQAData' must name a kind of CaptioningData"
    assert words in fit(run, captioner, tmp_path, "--data.class_path", "vqa.data.VQAData").fault
    words = "class_path 'captioning.data.CaptioningData' must name a kind of VQAData"
    assert words in fit(run, answerer, tmp_path, "--data.class_path", "captioning.data.CaptioningData").fault


def test_a_folder_that_cannot_be_made_is_one_line(run: Run, captioner: Experiment, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("in the way")
    for logger in ("false", "true"):
        assert str(tmp_path / "run") in fit(run, captioner, tmp_path, "--trainer.logger", logger).fault


def test_a_run_in_the_way_is_not_overwritten(run: Run, captioner: Experiment) -> None:
    before = captioner.checkpoint.read_bytes()
    assert "holds a run: go on with --ckpt_path" in run("train", "fit", "--config", captioner.config).fault
    assert captioner.checkpoint.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([f"{MODEL}.decoder.init_args.hiden_dim", "3"], "no setting 'hiden_dim'; did you mean 'hidden_dim'?"),
        ([f"{MODEL}.optimisation.learning_rat", "3"], "no setting 'learning_rat'; did you mean 'learning_rate'?"),
        ([f"{MODEL}.optimisation.learning_rate", "fast"], "learning_rate"),
        ([f"{MODEL}.encoder.init_args.image_size", "64"], "'image_size' must be"),
        ([f"{MODEL}.encoder.init_args.name", "resnet5000"], "resnet5000"),
        ([f"{MODEL}.encoder_weights", "absent.safetensors"], "absent.safetensors"),
        ([f"{MODEL}.attention.class_path", "common.attention.Atention"], "did you mean 'Attention'?"),
        ([f"{MODEL}.search.beam", "0"], "search.beam must be at least 1"),
        ([f"{DATA}.loading.batch_size", "0"], "batch_size must be at least 1"),
        ([f"{DATA}.test.init_args.level", "tinny"], "tinny"),
        ([f"{DATA}.train", "null"], "data.train is not set"),
        (["--trainer.max_epoch", "3"], "no setting 'max_epoch'; did you mean 'max_epochs'?"),
        (["--trainer.max_epochs", "many"], "trainer.max_epochs"),
        (["--trainer.accelerator", "cuda:9"], "accelerator"),
        (["--trainer.devices", "0"], "`Trainer(devices=0)` value is not a valid input"),
        (["--trainer.precision", "3"], "precision"),
        (["--trainer.gradient_clip_val", "hard"], "gradient_clip_val"),
        (["--trainr.max_epochs", "3"], "no setting 'trainr'; did you mean 'trainer'?"),
        (["--config", "absent.yaml"], "config absent.yaml cannot be read"),
        (["--seed_everything", "lucky"], "seed_everything"),
        (["extra"], "'extra' is not an option"),
    ],
)
def test_wrong_settings_are_told_in_one_line_and_nothing_is_written(
    run: Run, captioner: Experiment, tmp_path: Path, options: list[str], words: str
) -> None:
    assert words in fit(run, captioner, tmp_path, *options).fault
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("text", ["model: [", "- model", "model: \t- x", "\x00"])
def test_a_config_that_is_no_mapping_is_told_in_one_line(
    run: Run, captioner: Experiment, tmp_path: Path, text: str
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert str(tmp_path / "bad.yaml") in fit(run, captioner, tmp_path, "--config", tmp_path / "bad.yaml").fault


def test_what_the_other_task_wrote_cannot_be_resumed(
    run: Run, captioner: Experiment, answerer: Experiment, tmp_path: Path
) -> None:
    assert "for vqa, not for captioning" in fit(run, captioner, tmp_path, "--ckpt_path", answerer.checkpoint).fault


@pytest.mark.parametrize("fault", ["missing", "cut in half", "malicious", "of another format"])
def test_a_bad_checkpoint_cannot_be_resumed(run: Run, captioner: Experiment, tmp_path: Path, fault: str) -> None:
    make, words = BAD[fault]
    make(captioner.checkpoint, tmp_path / "bad.ckpt")
    assert words in fit(run, captioner, tmp_path, "--ckpt_path", tmp_path / "bad.ckpt").fault
    assert not (tmp_path / "ran").exists()


def coco(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """Two captioned pictures as COCO has them, and options that train on them."""
    for name, colour in (("a.png", "red"), ("b.png", "blue")):
        Image.new("RGB", (64, 64), colour).save(tmp_path / name)
    document = {
        "images": [{"id": 1, "file_name": "a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"id": 1, "image_id": 1, "caption": "a red wall"},
            {"id": 2, "image_id": 2, "caption": "a blue wall"},
        ],
    }
    return document | changes


def fit_coco(run: Run, captioner: Experiment, tmp_path: Path, text: str, *options: object) -> Outcome:
    (tmp_path / "captions.json").write_text(text)
    settings = {"annotations": str(tmp_path / "captions.json"), "images": str(tmp_path)}
    source = {"class_path": "common.data.readers.CocoCaptions", "init_args": settings}
    config = tmp_path / "coco.yaml"
    config.write_text(yaml.safe_dump({"data": {"init_args": {"train": source, "val": source}}}))
    return fit(run, captioner, tmp_path, "--config", config, *options)


def test_people_s_own_captions_in_coco_s_format_train_a_captioner(
    run: Run, captioner: Experiment, tmp_path: Path
) -> None:
    assert fit_coco(run, captioner, tmp_path, json.dumps(coco(tmp_path))).code == 0


EMPTY = [{"id": 1, "image_id": 1, "caption": " "}]
STRAY_CAPTION = [{"id": 1, "image_id": 9, "caption": "a wall"}]
STRAY = [{"id": 9, "file_name": "absent.png"}]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"annotations": EMPTY}, "is empty"),
        ({"images": STRAY, "annotations": STRAY_CAPTION}, "absent.png, which is not there"),
        (
            {"annotations": [{"id": 1, "image_id": 7, "caption": "a wall"}]},
            "is of an image that the file's list of images does not have",
        ),
        ({"annotations": [{"question_id": 1, "image_id": 1}]}, "holds VQA annotations, but COCO captions"),
        ({"annotations": {}}, "'annotations' is a dict where a list is wanted"),
    ],
)
def test_annotations_that_cannot_be_used_are_told_in_one_line(
    run: Run, captioner: Experiment, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    assert words in fit_coco(run, captioner, tmp_path, json.dumps(coco(tmp_path, **changes))).fault


def test_annotations_cut_in_half_are_told_in_one_line(run: Run, captioner: Experiment, tmp_path: Path) -> None:
    text = json.dumps(coco(tmp_path))
    assert "is the file cut off?" in fit_coco(run, captioner, tmp_path, text[: len(text) // 2]).fault


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_cannot_be_decoded_ends_training_with_one_line(
    run: Run, captioner: Experiment, tmp_path: Path, workers: int
) -> None:
    text = json.dumps(coco(tmp_path))
    (tmp_path / "b.png").write_text("no picture")
    outcome = fit_coco(run, captioner, tmp_path, text, f"{DATA}.loading.workers", workers)
    assert outcome.fault.startswith(f"image {tmp_path / 'b.png'} is not an image of a known format")


def test_a_full_disk_is_one_line_and_what_was_written_is_whole(run: Run, captioner: Experiment, tmp_path: Path) -> None:
    assert fit(run, captioner, tmp_path).code == 0
    last = tmp_path / "run" / "last.ckpt"
    before = last.read_bytes()
    for name in ("best", "last"):
        (tmp_path / "run" / f".{name}.ckpt.{os.getpid()}.part").symlink_to("/dev/full")
    outcome = fit(run, captioner, tmp_path, "--ckpt_path", last, "--trainer.max_epochs", 2)
    assert outcome.fault.endswith(": No space left on device; what was there before is whole")
    assert last.read_bytes() == before


def test_help_is_short_and_names_what_there_is(run: Run) -> None:
    outcome = run("train", "--help")
    assert outcome.code == 0
    assert len(outcome.out.splitlines()) < 20
    assert "--print_config" in outcome.out
    assert run("train").fault.startswith("usage: python scripts/train.py fit --config FILE")


@pytest.mark.slow
def test_control_c_ends_training_with_code_130_and_a_checkpoint_to_go_on_from(
    captioner: Experiment, tmp_path: Path
) -> None:
    command = [sys.executable, str(SCRIPTS / "train.py"), "fit", "--config", str(captioner.config)]
    options = ["--folder", str(tmp_path / "run"), "--trainer.max_epochs=100000"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        last = tmp_path / "run" / "last.ckpt"
        while not last.exists() and process.poll() is None:
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].endswith(f"--ckpt_path {last}")
    assert load_module(last, CaptioningModule).words.words


@pytest.mark.slow
def test_two_processes_started_from_the_command_line_write_one_run_of_everything(
    captioner: Experiment, tmp_path: Path
) -> None:
    command = [sys.executable, str(SCRIPTS / "train.py"), "fit", "--config", str(captioner.config)]
    shown = {"logger": "true", "enable_progress_bar": "true", "num_sanity_val_steps": 0}
    settings = {"strategy": "ddp", "devices": 2, "accelerator": "cpu"} | shown
    options = [f"--trainer.{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        [*command, *options, "--folder", str(tmp_path / "run")],
        env=os.environ | {"WANDB_MODE": "offline"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("best val/CIDEr-D") == 1
    bars = [line for line in re.split(r"[\r\n]", done.stderr + done.stdout) if line.startswith("Epoch 0:   0%")]
    assert len(bars) == 1
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"best.ckpt", "last.ckpt", "config.yaml", "wandb"}
    (logged,) = (tmp_path / "run" / "wandb").glob("offline-run-*")
    assert len(list(logged.glob("files/media/table/*.json"))) == 1  # of the one validation
    assert load_module(tmp_path / "run" / "best.ckpt", CaptioningModule).words.words
