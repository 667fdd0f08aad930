from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from common.attention import DetectedBoxes
from common.data.features import FeatureCache
from common.data.readers import JsonlCaptions
from common.encoders import StoredRegions
from common.training.cli import TrainingCLI
from tests.captioning import recipes
from tests.scripts.conftest import TRAINER, Experiment, Run

NAME = "fasterrcnn_mobilenet_v3_large_320_fpn"
DETECTOR = ("--detector", NAME, "--weights", "none", "--image-size", 64, "--fewest", 2, "--most", 4)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in (1, 2, 3):
        Image.effect_noise((60, 40), 90).convert("RGB").save(folder / f"COCO_val2014_{number:012d}.png")
    return folder


def test_a_detectors_boxes_of_a_folder_are_cached_and_written_as_data(run: Run, photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    lines = tmp_path / "boxes.jsonl"
    outcome = run("extract_features", *DETECTOR, "--out", tmp_path / "cache", "--boxes-jsonl", lines, photos)
    assert outcome.code == 0, outcome.err
    first, second = outcome.out.splitlines()
    assert first.startswith("3 of 3 pictures, ")
    assert first.endswith(f"boxes of 1024 numbers, in {tmp_path / 'cache'}")
    assert second == f"3 lines in {lines}; the names of pictures in them start from {photos}"
    records = JsonlCaptions(str(lines), str(photos)).read()
    assert all(1 <= len(record.boxes) <= 4 for record in records)


def test_a_broken_picture_is_named_the_others_are_done_and_nothing_is_done_twice(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    (photos / "a.jpg").write_text("no picture")
    command = ("extract_features", "--backbone", "test_resnet", "--weights", "none", "--out", tmp_path / "cache")
    torch.manual_seed(0)
    outcome = run(*command, photos, tmp_path / "absent")
    assert outcome.code == 2
    assert outcome.out.startswith("3 of 4 pictures, 5 x 5 cells of 96 numbers, in ")
    told = [line for line in outcome.err.splitlines() if "error: " in line]
    assert len(told) == 2
    assert "no image is called or matches" in told[0]
    assert f"image {photos / 'a.jpg'} is not an image of a known format" in told[1]
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    torch.manual_seed(0)  # the same random weights
    (photos / "a.jpg").unlink()
    assert run(*command, photos).code == 0
    assert written == {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}


def test_the_encoder_of_a_checkpoint_may_be_used(run: Run, captioner: Experiment, photos: Path, tmp_path: Path) -> None:
    outcome = run("extract_features", "--checkpoint", captioner.checkpoint, "--out", tmp_path / "cache", photos)
    assert outcome.out.startswith("3 of 3 pictures, 4 x 4 cells of ")


def experiment(folder: Path, scenes: str, encoder: Any, cache: Path) -> Path:
    """A captioning experiment on this encoder's cached features."""
    model = {
        "encoder": encoder,
        "decoder": recipes.DECODER,
        "attention": recipes.SOFT,
        "objectives": [recipes.CROSS_ENTROPY],
        "search": {"beam": 2, "longest": 5},
    }
    sources = {
        split: {
            "class_path": "common.data.scenes.SceneCaptions",
            "init_args": {"level": "tiny", "split": "val", "folder": scenes},
        }
        for split in ("train", "val", "test")
    }
    config = {
        "folder": str(folder / "run"),
        "model": {"class_path": "captioning.module.CaptioningModule", "init_args": model},
        "data": {
            "class_path": "captioning.data.CaptioningData",
            "init_args": {**sources, "minimum_count": 1, "loading": {"batch_size": 8, "cache": str(cache)}},
        },
        "trainer": TRAINER,
        "seed_everything": 0,
    }
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_a_model_of_detected_regions_captions_any_picture(run: Run, scenes: str, photos: Path, tmp_path: Path) -> None:
    encoder = {
        "class_path": "common.encoders.DetectorEncoder",
        "init_args": {
            "name": NAME,
            "detector_weights": None,
            "image_size": 64,
            "limits": {"fewest": 2, "most": 4},
            "geometry": True,
        },
    }
    config = experiment(tmp_path, scenes, encoder, tmp_path / "cache")
    TrainingCLI(["fit", "--config", str(config)])
    checkpoint = tmp_path / "run" / "last.ckpt"
    captioned = run("caption", "--checkpoint", checkpoint, *photos.iterdir(), "--overlay", tmp_path / "overlays")
    assert captioned.code == 0, captioned.err
    assert len(captioned.out.splitlines()) == len(list((tmp_path / "overlays").iterdir())) == 3
    # the trained encoder's features are in the cache, and the script finds them there
    again = run("extract_features", "--config", config, "--checkpoint", checkpoint, "--split", "val")
    assert again.out.startswith("16 of 16 pictures, ")
    assert "features:" not in again.err


def tsv(path: Path, *numbers: int) -> Path:
    """Bottom-up attention's file, with as many regions of 6 numbers as the image's number."""
    lines = []
    for number in numbers:
        boxes = np.tile(np.array([0, 0, 30, 40], "<f4"), (number, 1))
        parts = (boxes, np.ones((number, 6), "<f4"))
        fields = [number, 60, 40, number, *(base64.b64encode(part.tobytes()).decode() for part in parts)]
        lines.append("\t".join(map(str, fields)))
    path.write_text("\n".join(lines))
    return path


def test_bottom_up_files_are_converted_and_what_is_lacking_is_told(run: Run, photos: Path, tmp_path: Path) -> None:
    file = tsv(tmp_path / "trainval.tsv", 1, 2)
    with file.open("a") as more:
        more.write("\n9\t60\n")
    out = tmp_path / "cache"
    outcome = run("extract_features", "--from-tsv", file, "--name", "bottom-up", "--out", out, photos)
    assert outcome.code == 2
    assert outcome.out.startswith("2 of 3 pictures, 1 to 2 boxes of 6 numbers, in ")
    assert f"error: {file}, line 3 has not the fields image_id, " in outcome.err
    assert "error: 1 of 3 pictures have no regions there, such as " in outcome.err
    cache = FeatureCache.open(out, StoredRegions("bottom-up", 6).fingerprint())
    features = cache.batch(sorted(photos.iterdir())[:2])
    assert features.keep.tolist() == [[True, False], [True, True]]
    assert not isinstance(features.layout, DetectedBoxes)


def test_a_model_of_stored_regions_is_evaluated_on_them_and_captions_nothing_else(
    run: Run, scenes: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("captioning.metrics.scores._if_it_runs", lambda *_, **__: {})  # takes seconds to start
    regions = tmp_path / "npz"
    regions.mkdir()
    pictures = sorted(Path(scenes, "tiny").rglob("*.png"))
    for path in pictures:
        arrays = {"x": np.ones((3, 6)), "bbox": np.tile([0, 0, 5, 5], (3, 1)), "image_w": 10, "image_h": 10}
        np.savez(regions / f"{path.stem}.npz", **arrays, num_bbox=0 if path.stem == pictures[0].stem else 3)
    folders = {str(path.parent) for path in pictures}
    converted = run(
        "extract_features", "--from-npz", regions, "--name", "old", "--out", tmp_path / "cache", *sorted(folders)
    )
    assert converted.code == 0
    assert ", 0 to 3 boxes of 6 numbers, in " in converted.out
    encoder = {"class_path": "common.encoders.StoredRegions", "init_args": {"name": "old", "dim": 6}}
    config = experiment(tmp_path, scenes, encoder, tmp_path / "cache")
    TrainingCLI(["fit", "--config", str(config)])
    checkpoint = tmp_path / "run" / "last.ckpt"
    scored = run("evaluate", "--checkpoint", checkpoint, "--config", config, "--out", tmp_path / "scores")
    assert scored.code == 0
    assert len(json.loads((tmp_path / "scores" / "captions_results.json").read_text())) == 16
    assert (
        "regions that were stored by a detector which it does not have"
        in run("caption", "--checkpoint", checkpoint, photos).fault
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["photos"], "no folder to write to: give --out"),
        (["--out", "cache", "photos"], "no encoder: give --detector, --backbone, --checkpoint, or --config"),
        (["--out", "cache", "--detector", NAME, "--weights", "none"], "no pictures: name files or folders"),
        (["--out", "cache", "--detector", "yolo", "photos"], "torchvision has no detector 'yolo'"),
        (["--out", "cache", "--detector", NAME, "--weights", "absent.pth", "photos"], "no weights file absent.pth"),
        (["--out", "cache", "--detector", NAME, "--threshold", "7", "photos"], "limits need a threshold"),
        (["--out", "cache", "--detector", NAME, "--backbone", "resnet18", "photos"], "not allowed with argument"),
        (["--out", "cache", "--from-npz", "photos", "photos"], "photos is no folder with .npz files"),
        (["--out", "photos/1", "--detector", NAME, "--image-size", "0", "photos"], "--image-size: must be a whole"),
        (
            ["--out", "cache", "--backbone", "test_resnet", "--weights", "none", "--boxes-jsonl", "x.jsonl", "photos"],
            "--boxes-jsonl is for the boxes of a detector",
        ),
        (["--out", "cache", "--detector", NAME, "--boxes-jsonl", "photos", "photos"], "cannot write photos: it is a"),
        (["--out", "cache", "--detector", NAME, "absent.jpg"], "no image is called or matches 'absent.jpg'"),
    ],
)
def test_wrong_options_are_told_in_one_line(
    run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(photos.parent)
    assert message in run("extract_features", *options).fault


def test_stored_regions_need_a_name(run: Run, photos: Path, tmp_path: Path) -> None:
    file = tsv(tmp_path / "a.tsv", 1)
    outcome = run("extract_features", "--from-tsv", file, "--out", tmp_path / "cache", photos)
    assert "stored regions need a --name, such as bottom-up-36" in outcome.fault


@pytest.mark.usefixtures("_away")
def test_weights_that_cannot_be_downloaded_are_told(run: Run, photos: Path, tmp_path: Path) -> None:
    outcome = run("extract_features", "--detector", NAME, "--out", tmp_path / "cache", photos)
    assert "cannot be reached; connect, or give the path of a local file" in outcome.fault


@pytest.fixture
def _away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing downloaded"))
