from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch

from common.errors import CheckpointError
from common.training.checkpoints import load_module
from tests.scripts.conftest import Experiment, Run
from vqa.module import VQAModule
from vqa.temperature import with_temperature


def test_a_calibrated_copy_gives_the_same_answers_with_other_confidences(
    run: Run, answerer: Experiment, photo: Path, tmp_path: Path
) -> None:
    out = tmp_path / "calm.ckpt"
    outcome = run("calibrate", "--checkpoint", answerer.checkpoint, "--config", answerer.config, "--out", out)
    assert outcome.code == 0, outcome
    found = re.match(r"temperature ([\d.]+), from \d+ questions of the val split\n", outcome.out)
    assert found
    temperature = load_module(out, VQAModule).temperature
    assert temperature == pytest.approx(float(found[1]), abs=1e-3)
    assert temperature != 1
    assert load_module(answerer.checkpoint, VQAModule).temperature == 1
    question = ("--question", "what colour is the circle?", photo, "--json")
    before, after = (
        json.loads(run("answer", "--checkpoint", each, *question).out) for each in (answerer.checkpoint, out)
    )
    assert before["answer"] == after["answer"]
    assert before["probability"] != after["probability"]


@pytest.mark.parametrize("temperature", [0.0, float("nan")])
def test_a_checkpoint_with_a_temperature_that_is_none_is_refused(
    answerer: Experiment, tmp_path: Path, temperature: float
) -> None:
    content = torch.load(answerer.checkpoint, weights_only=True)
    torch.save(with_temperature(content, temperature), tmp_path / "bad.ckpt")
    with pytest.raises(CheckpointError, match=r"bad\.ckpt does not fit"):
        load_module(tmp_path / "bad.ckpt", VQAModule)


def test_a_captioner_is_refused_and_so_is_a_split_without_data(
    run: Run, answerer: Experiment, captioner: Experiment
) -> None:
    assert "not for vqa" in run("calibrate", "--checkpoint", captioner.checkpoint, "--config", answerer.config).fault
    options = ("--checkpoint", answerer.checkpoint, "--config", answerer.config, "--data.init_args.val", "null")
    assert run("calibrate", *options).fault.startswith("data.val is not set")
    folder = answerer.checkpoint.parent  # told before the model has answered a single question
    options = ("--checkpoint", answerer.checkpoint, "--config", answerer.config, "--out", folder)
    assert run("calibrate", *options).fault == f"cannot write {folder}: it is a folder"
