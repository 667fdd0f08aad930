from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "draw_scenes.py"


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    runpy.run_path(str(SCRIPT), run_name="__main__")


def test_the_script_writes_scenes_and_a_sheet_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _run(monkeypatch, "--level", "tiny", "--out", tmp_path / "tiny", "--sheet", tmp_path / "sheet.png")
    assert capsys.readouterr().out == f"{tmp_path / 'tiny'}: 48 train, 16 val, 16 test scenes of level tiny\n"
    assert (tmp_path / "tiny" / "scenes.json").is_file()
    assert (tmp_path / "sheet.png").is_file()


def test_a_folder_in_use_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        _run(monkeypatch, "--level", "tiny", "--out", tmp_path)
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: not a folder of scenes")


def test_a_sheet_that_cannot_be_written_is_one_line_and_the_scenes_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as stopped:
        _run(monkeypatch, "--level", "tiny", "--out", tmp_path / "tiny", "--sheet", tmp_path / "file" / "sheet.png")
    assert stopped.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"error: cannot write {tmp_path / 'file'}")
    assert (tmp_path / "tiny" / "scenes.json").is_file()
