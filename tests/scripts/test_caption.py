from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.scripts.bad_checkpoints import BAD
from tests.scripts.bad_pictures import REFUSED, WORKING
from tests.scripts.conftest import SCRIPTS, Experiment, Run


def test_a_caption_is_a_line_beside_the_picture_and_the_same_each_time(
    run: Run, captioner: Experiment, photo: Path
) -> None:
    first = run("caption", "--checkpoint", captioner.checkpoint, photo)
    assert first.code == 0
    assert first.err == ""
    assert first.out.startswith(f"{photo}: ")
    assert run("caption", "--checkpoint", captioner.checkpoint, photo) == first


def test_json_lines_hold_the_caption_its_probabilities_the_alternatives_and_the_overlay(
    run: Run, captioner: Experiment, photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "overlays"
    outcome = run(
        "caption", "--checkpoint", captioner.checkpoint, photo, "--json", "--beam=3", "--best=3", "--overlay", folder
    )
    (line,) = outcome.out.splitlines()
    told = json.loads(line)
    assert told["image"] == str(photo)
    assert len(told["caption"].split()) in (len(told["probabilities"]), len(told["probabilities"]) - 1)  # the end
    assert all(0 <= probability <= 1 for probability in told["probabilities"])
    assert len(told["alternatives"]) == 2
    for other in told["alternatives"]:
        assert other["score"] <= told["score"]
        assert len(other["caption"].split()) in (len(other["probabilities"]), len(other["probabilities"]) - 1)
    assert {path.name for path in folder.iterdir()} == {
        f"photo-caption{rank}.png" for rank in ("", "-rank-2", "-rank-3")
    }
    assert Path(told["overlay"]).is_file()


def test_the_longest_caption_may_be_chosen(run: Run, captioner: Experiment, photo: Path) -> None:
    told = run("caption", "--checkpoint", captioner.checkpoint, photo, "--longest", 1, "--json").out
    assert len(json.loads(told)["caption"].split()) <= 1


def test_several_captions_are_numbered_lines_with_their_scores(run: Run, captioner: Experiment, photo: Path) -> None:
    told = run("caption", "--checkpoint", captioner.checkpoint, photo, "--beam=4", "--best=3").out
    for rank, line in enumerate(told.splitlines(), start=1):
        assert re.fullmatch(rf"{re.escape(str(photo))}: {rank}\. .*\(-\d+\.\d\d\)", line)
    assert len(told.splitlines()) == 3


def test_words_may_be_asked_for_and_kept_out(run: Run, captioner: Experiment, photo: Path) -> None:
    known = torch.load(captioner.checkpoint, weights_only=True)["hyper_parameters"]["vocabulary"]
    out, one, other, wanted = known[4:8]
    words_asked = f"--require={one}|{other}", f"--require={wanted}", f"--forbid={out}"
    options = *words_asked, "--beam=6", "--shortest=4", "--no-repeat=1"
    outcome = run("caption", "--checkpoint", captioner.checkpoint, photo, "--json", *options)
    assert outcome.err == ""
    words = json.loads(outcome.out)["caption"].split()
    assert wanted in words
    assert {one, other} & {*words}
    assert out not in words
    assert len({*words}) == len(words) in (4, 5)


def test_the_same_seed_draws_the_same_captions(run: Run, captioner: Experiment, photo: Path) -> None:
    drawn = [
        run("caption", "--checkpoint", captioner.checkpoint, photo, "--sample=4", f"--seed={seed}", "--top-p=0.9").out
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(drawn[0].splitlines()) == 4


def test_a_captioner_beside_itself_writes_what_it_writes_alone(run: Run, captioner: Experiment, photo: Path) -> None:
    alone = json.loads(run("caption", "--checkpoint", captioner.checkpoint, photo, "--json").out)
    twice = run("caption", *["--checkpoint", captioner.checkpoint] * 2, photo, "--json")
    assert json.loads(twice.out) == alone


def test_captioners_of_different_words_do_not_write_together(
    run: Run, captioner: Experiment, captioner_of_boxes: Experiment, photo: Path, tmp_path: Path
) -> None:
    content = torch.load(captioner.checkpoint, weights_only=True)
    content["hyper_parameters"]["vocabulary"][-1] = "otherwise"
    torch.save(content, tmp_path / "other.ckpt")
    outcome = run("caption", "--checkpoint", captioner.checkpoint, "--checkpoint", tmp_path / "other.ckpt", photo)
    assert outcome.fault.startswith(f"{tmp_path / 'other.ckpt'} knows other words than {captioner.checkpoint}")


def test_of_a_folder_the_good_pictures_are_captioned_and_each_bad_one_is_told_in_a_line(
    run: Run, captioner: Experiment, tmp_path: Path
) -> None:
    good, bad = set(), {}
    for name, write in WORKING.items():
        write(tmp_path / name)
        good.add(str(tmp_path / name))
    for name, (write, reason) in REFUSED.items():
        write(tmp_path / name)
        bad[str(tmp_path / name)] = reason
    outcome = run("caption", "--checkpoint", captioner.checkpoint, tmp_path, "--batch-size", 3)
    assert outcome.code == 2
    assert {line.split(": ")[0] for line in outcome.out.splitlines()} == good
    assert len(outcome.err.splitlines()) == len(bad)
    for path, reason in bad.items():
        assert f"error: image {path} {reason}" in outcome.err


def test_a_missing_picture_does_not_keep_the_others_from_being_captioned(
    run: Run, captioner: Experiment, photo: Path, tmp_path: Path
) -> None:
    outcome = run("caption", "--checkpoint", captioner.checkpoint, tmp_path / "absent.jpg", photo)
    assert "absent.jpg" in outcome.fault
    assert outcome.out.startswith(f"{photo}: ")


def test_a_folder_without_pictures_is_told(run: Run, captioner: Experiment, tmp_path: Path) -> None:
    assert f"folder {tmp_path} holds no images" in run("caption", "--checkpoint", captioner.checkpoint, tmp_path).fault


@pytest.mark.parametrize(("suffix", "begin"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_overlays_are_written_in_each_format(
    run: Run, captioner: Experiment, photo: Path, tmp_path: Path, suffix: str, begin: bytes
) -> None:
    outcome = run("caption", "--checkpoint", captioner.checkpoint, photo, "--overlay", tmp_path, "--format", suffix)
    assert outcome.code == 0
    overlay = tmp_path / f"photo-caption.{suffix}"
    assert overlay.read_bytes().startswith(begin)
    if suffix == "png":
        with Image.open(overlay) as image:
            image.load()
    assert {path.name for path in tmp_path.iterdir()} == {"photo.png", overlay.name}


def test_pictures_of_one_name_keep_overlays_of_their_own(run: Run, captioner: Experiment, tmp_path: Path) -> None:
    for name, colour in (("a", "red"), ("b", "blue")):
        (tmp_path / name).mkdir()
        Image.new("RGB", (60, 40), colour).save(tmp_path / name / "photo.png")
    run("caption", "--checkpoint", captioner.checkpoint, tmp_path / "*/*.png", "--overlay", tmp_path / "drawn")
    drawn = sorted((tmp_path / "drawn").iterdir())
    assert [path.name for path in drawn] == ["photo-caption-2.png", "photo-caption.png"]
    assert drawn[0].read_bytes() != drawn[1].read_bytes()


@pytest.mark.parametrize("fault", BAD)
def test_checkpoints_that_cannot_be_used_are_refused_in_one_line_and_nothing_is_run(
    run: Run, captioner: Experiment, photo: Path, tmp_path: Path, fault: str
) -> None:
    make, words = BAD[fault]
    bad = tmp_path / "bad.ckpt"
    make(captioner.checkpoint, bad)
    outcome = run("caption", "--checkpoint", bad, photo)
    assert words in outcome.fault
    assert str(bad) in outcome.fault
    assert outcome.out == ""
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_the_other_task_names_the_script_to_use(run: Run, answerer: Experiment, photo: Path) -> None:
    outcome = run("caption", "--checkpoint", answerer.checkpoint, photo)
    assert outcome.fault.endswith("is a checkpoint for vqa, not for captioning: use scripts/answer.py")


def test_a_model_of_boxes_cannot_caption_pictures_alone(run: Run, captioner_of_boxes: Experiment, photo: Path) -> None:
    assert "looks at given boxes" in run("caption", "--checkpoint", captioner_of_boxes.checkpoint, photo).fault


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--batch-size", "0"], "--batch-size: must be a whole number from 1 on, not '0'"),
        (["--beam", "0"], "--beam: must be a whole number from 1 on, not '0'"),
        (["--longest", "many"], "--longest: must be a whole number from 1 on, not 'many'"),
        (["--device", "gpu"], "--device: cannot compute on 'gpu'"),
        (["--device", "cuda:99"], "--device: cannot compute on 'cuda:99'"),
        (["--format", "gif"], "--format: invalid choice: 'gif'"),
        (["--beams", "3"], "unrecognized arguments: --beams"),
        (["--top-k", "3", "--beam", "2"], "--top-k is for draws: give --sample N too"),
        (["--sample", "3", "--beam", "2"], "--beam searches, and --sample draws: leave one out"),
        (["--best", "5"], "search.best 5 is more than search.beam 2"),
        (["--shortest", "9"], "search.shortest 9 is more than search.longest 5"),
        (["--groups", "2", "--beam", "3"], "2 diversity.groups do not divide search.beam 3"),
        (["--require", "zebra", "--beam", "3"], "the required word 'zebra' is none of the"),
        (["--require", "star", "--forbid", "star"], "'star' is both required and forbidden"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    run: Run, captioner: Experiment, photo: Path, options: list[str], words: str
) -> None:
    assert words in run("caption", "--checkpoint", captioner.checkpoint, photo, *options).fault


def test_an_overlay_folder_that_cannot_be_written_to_is_told_before_anything_is_done(
    run: Run, captioner: Experiment, photo: Path
) -> None:
    outcome = run("caption", "--checkpoint", captioner.checkpoint, photo, "--overlay", photo / "inside")
    assert outcome.fault.startswith(f"cannot make the folder {photo / 'inside'}: ")
    assert outcome.out == ""


@pytest.mark.slow
def test_in_a_process_of_its_own_it_captions_until_control_c(captioner: Experiment, photo: Path) -> None:
    command = [sys.executable, str(SCRIPTS / "caption.py"), "--checkpoint", str(captioner.checkpoint), "--batch-size=1"]
    with subprocess.Popen(
        [*command, *[str(photo)] * 2000], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert first.startswith(f"{photo}: ")
    assert (process.returncode, errors) == (130, "interrupted\n")
