import json
from pathlib import Path
from zipfile import ZipFile

import pytest

from captioning.results import read_captions, read_image_ids, read_references, write_captions, write_submission
from common.errors import ConfigError, DataError

CAPTIONS = {"val2014": {42: "a café", 73: "two dogs"}, "test2014": {1: "沙滩"}}
EXPECTED = {"val2014": [73, 42], "test2014": [1]}


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    captions: dict[int | str, str] = {9: "café", "x.jpg": "沙滩 🏖", 3: ""}
    write_captions(tmp_path / "captions.json", captions)
    assert read_captions(tmp_path / "captions.json") == captions


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty, but results are a list: "),
        ("[]", "is empty, but results are a list: "),
        ('{"image_id": 1, "caption": "a"}', "holds a JSON dict, but results are a list: "),
        ('["a"]', "its first entry is not one of results: write "),
        ('[{"image": 1, "caption": "a"}]', "its first entry is not one of results: write "),
        ('[{"image_id": 1, "caption": "a"}, {"image_id": 2}]', r"\[1\] has no 'caption'"),
        ('[{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}]', "has the image_id 1 twice"),
        ('[{"image_id": 1.5, "caption": "a"}]', "the image_id id 1.5 is neither a number nor text"),
        ('[{"image_id": 1, "caption": null}]', "the caption of image_id 1 is None: write text"),
        ('[{"image_id": 1, "caption": NaN}]', "the caption of image_id 1 is nan: write text"),
        ('[{"image_id": 1, "caption": 7}]', "the caption of image_id 1 is 7: write text"),
        ('[{"image_id": 1, "caption": ["a"]}]', r"the caption of image_id 1 is \['a'\]: write text"),
        ('[{"image_id": 1, "caption": "\\ud83c"}]', "the caption of image_id 1 is "),
        ('[{"image_id": 1, "caption": "a"', "is not JSON: .*cut off"),
    ],
)
def test_files_that_are_no_results_are_told(content: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as fault:
        read_captions(path)
    assert str(fault.value).startswith(str(path)) or str(path) in str(fault.value)


def test_a_results_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        read_captions(tmp_path / "none.json")


def test_references_and_ids_need_no_images(tmp_path: Path) -> None:
    path = tmp_path / "captions.json"
    annotations = [{"id": number, "image_id": number % 2, "caption": f"caption {number}"} for number in range(3)]
    path.write_text(json.dumps({"images": [{"id": 0}, {"id": 1}], "annotations": annotations}))
    assert read_references(str(path)) == {0: ["caption 0", "caption 2"], 1: ["caption 1"]}
    assert read_image_ids(str(path)) == [0, 1]


def test_a_submission_is_a_zip_of_both_sets_named_as_the_server_wants(tmp_path: Path) -> None:
    write_submission(tmp_path / "mine.zip", "saccade", CAPTIONS, EXPECTED)
    names = [f"captions_{name}_saccade_results.json" for name in ("val2014", "test2014")]
    with ZipFile(tmp_path / "mine.zip") as archive:
        assert archive.namelist() == names
        for name, captions in zip(names, CAPTIONS.values(), strict=True):
            entries = json.loads(archive.read(name).decode("utf-8"))
            assert {entry["image_id"]: entry["caption"] for entry in entries} == captions
    assert {path.name for path in tmp_path.iterdir()} == {"mine.zip", *names}


@pytest.mark.parametrize(
    ("captions", "expected", "message"),
    [
        ({"val2014": {42: "a", 73: "b"}}, EXPECTED, "val2014 and test2014, and test2014 is missing"),
        ({**CAPTIONS, "test2014": {}}, EXPECTED, "captions_test2014_mine_results.json: 1 of 1 ids are missing: 1"),
        ({**CAPTIONS, "test2014": {1: "a", 2: "b"}}, EXPECTED, "1 ids are not of this data set: 2"),
        ({**CAPTIONS, "test2014": {"1": "a"}}, {**EXPECTED, "test2014": ["1"]}, "by whole numbers, not '1'"),
    ],
)
def test_what_the_server_would_refuse_is_not_written(
    captions: dict[str, dict[int | str, str]], expected: dict[str, list[int | str]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        write_submission(tmp_path / "mine.zip", "mine", captions, expected)
    assert not list(tmp_path.iterdir())


def test_an_algorithms_name_must_suit_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="letters, digits and hyphens only, not 'my model'"):
        write_submission(tmp_path / "mine.zip", "my model", CAPTIONS, EXPECTED)
