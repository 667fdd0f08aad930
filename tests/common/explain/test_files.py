"""A file appears whole or not at all."""

from pathlib import Path

import pytest

from common.errors import DataError
from common.explain.files import replacing


def test_the_draft_takes_the_place_of_the_file_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with replacing(path) as draft:
        draft.write_text("whole")
        assert not path.exists()
    assert [file.name for file in path.parent.iterdir()] == ["file.txt"]


def test_an_interruption_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def write_half(draft: Path) -> None:
        draft.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), replacing(path) as draft:
        write_half(draft)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_a_folder_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file.txt").mkdir()
    with pytest.raises(DataError, match=r"cannot write .*file\.txt: "), replacing(tmp_path / "file.txt") as draft:
        draft.write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]
