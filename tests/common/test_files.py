"""A file appears whole or not at all."""

import os
from pathlib import Path

import pytest

from common.errors import DataError
from common.files import replacing, telling_names, writable_file, writable_folder


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


def test_a_full_disk_leaves_what_was_there_and_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    (tmp_path / f".file.txt.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(DataError) as caught, replacing(path) as draft:
        draft.write_text("new")
    assert str(caught.value) == f"cannot write {path}: No space left on device; what was there before is whole"
    assert [file.read_text() for file in tmp_path.iterdir()] == ["old"]


def test_the_draft_is_on_the_disk_before_it_takes_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, synced = tmp_path / "file.txt", []
    monkeypatch.setattr("os.fsync", lambda file: synced.append(os.fstat(file).st_size if not path.exists() else None))
    with replacing(path) as draft:
        draft.write_text("whole")
    assert synced == [5]


def test_a_folder_in_the_way_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file.txt").mkdir()
    with pytest.raises(DataError, match=r"cannot write .*file\.txt: "), replacing(tmp_path / "file.txt") as draft:
        draft.write_text("whole")
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_a_folder_that_cannot_be_made_or_written_to_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert writable_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"^cannot make the folder .*file/b: "):
        writable_folder(tmp_path / "file" / "b")
    assert writable_file(tmp_path / "new" / "file") == tmp_path / "new" / "file"
    with pytest.raises(DataError, match=r"^cannot write .*new: it is a folder$"):
        writable_file(tmp_path / "new")
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(DataError, match=r"^cannot write to the folder .*: permission denied"):
        writable_folder(tmp_path)


@pytest.mark.parametrize(
    ("first", "second", "names"),
    [
        ("mine.json", "runs/theirs.json", ("mine", "theirs")),
        ("answers.json", "answers.txt", ("answers.json", "answers.txt")),
        ("runs/a/test/answers.json", "runs/b/test/answers.json", ("a", "b")),
        ("runs/a/answers.json", "runs/b/test/answers.json", ("a", "test")),
        ("/answers.json", "/old/answers.json", ("/", "old")),
        ("answers.json", "./answers.json", ("answers", "answers")),
    ],
)
def test_two_files_are_told_apart_by_the_last_part_in_which_they_differ(
    first: str, second: str, names: tuple[str, str]
) -> None:
    assert telling_names(Path(first), Path(second)) == names


def test_a_file_in_the_current_folder_is_told_from_its_namesake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    monkeypatch.chdir(tmp_path / "new")
    assert telling_names(Path("answers.json"), Path("../old/answers.json")) == ("new", "old")
