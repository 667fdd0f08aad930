"""A file appears whole or not at all."""

from pathlib import Path

import pytest

from common.errors import DataError
from common.explain.files import OverlayNames, replacing, writable_folder


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


def test_overlays_of_pictures_of_one_name_get_names_of_their_own(tmp_path: Path) -> None:
    names = OverlayNames(tmp_path, "png")
    pictures = ["a/photo.jpg", "b/photo.jpg", "photo.png", "other.jpg"]
    assert [names.next(Path(picture)).name for picture in pictures] == [
        "photo-attention.png",
        "photo-attention-2.png",
        "photo-attention-3.png",
        "other-attention.png",
    ]


def test_a_folder_that_cannot_be_made_or_written_to_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert writable_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"^cannot make the folder .*file/b: "):
        writable_folder(tmp_path / "file" / "b")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(DataError, match=r"^cannot write to the folder .*: permission denied"):
        writable_folder(tmp_path)
