"""What the caption server takes, packed by the script."""

from __future__ import annotations

import json
from pathlib import Path
from zipfile import ZipFile

from tests.scripts.conftest import Outcome, Run


def submit(run: Run, folder: Path, test_ids: list[int]) -> Outcome:
    arguments: list[object] = ["--algorithm", "mine", "--out", folder / "mine.zip"]
    for name, ids in (("val2014", [1, 2]), ("test2014", test_ids)):
        results, images = folder / f"{name}.json", folder / f"{name}_images.json"
        results.write_text(json.dumps([{"image_id": number, "caption": "a dog"} for number in ids]))
        images.write_text(json.dumps({"images": [{"id": number, "file_name": "x.jpg"} for number in (1, 2)]}))
        arguments += [f"--{name}", results, images]
    return run("submit", *arguments)


def test_both_sets_go_into_a_zip(run: Run, tmp_path: Path) -> None:
    outcome = submit(run, tmp_path, [2, 1])
    assert outcome.code == 0
    assert outcome.out == f"written to {tmp_path / 'mine.zip'}: 2 captions of val2014, 2 captions of test2014\n"
    with ZipFile(tmp_path / "mine.zip") as archive:
        assert archive.namelist() == ["captions_val2014_mine_results.json", "captions_test2014_mine_results.json"]


def test_a_missing_image_is_told_and_nothing_written(run: Run, tmp_path: Path) -> None:
    outcome = submit(run, tmp_path, [2])
    assert outcome.fault.endswith("captions_test2014_mine_results.json: 1 of 2 ids are missing: 1")
    assert not (tmp_path / "mine.zip").exists()
