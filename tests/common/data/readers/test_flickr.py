from pathlib import Path
from typing import Any

import pytest

from common.data.readers import Flickr8kCaptions, Flickr30kCaptions, KarpathyCaptions
from common.data.records import CaptionRecord
from common.errors import ConfigError, DataError, SaccadeError

TOKENS = "a.jpg#0\tA dog runs .\na.jpg#1\tOne dog .\nb.jpg#0\tA cat\nother.jpg.1#0\tNobody's .\n"


def test_flickr8k_has_the_captions_of_the_split_in_its_order(images: str, write: Any) -> None:
    source = Flickr8kCaptions(write("tokens.txt", TOKENS), write("split.txt", "b.jpg\r\na.jpg\n\n"), images)
    assert source.read() == [
        CaptionRecord(Path(images, "b.jpg"), "b.jpg", ("A cat",)),
        CaptionRecord(Path(images, "a.jpg"), "a.jpg", ("A dog runs .", "One dog .")),
    ]


@pytest.mark.parametrize(
    ("tokens", "split", "message"),
    [
        (TOKENS, "a.jpg\nz.jpg\n", r"split.txt, line 2 names the image 'z.jpg', which has no captions"),
        (TOKENS, "other.jpg.1", r"split.txt, line 1 names the image .*other.jpg.1, which is not there"),
        (TOKENS, "a.jpg\na.jpg", "has the image 'a.jpg' twice"),
        (TOKENS, "\n", "names no images"),
        ("\n", "a.jpg", "tokens.txt has no captions"),
        ("a.jpg#0\t \n", "a.jpg", r"tokens.txt, line 1: the caption is empty"),
        ("a.jpg A dog\n", "a.jpg", "line 1 is not of the form"),
        ("a.jpg\tA dog\n", "a.jpg", "line 1 is not of the form"),
    ],
)
def test_what_is_wrong_in_flickr8ks_files_is_told_with_its_line(
    tokens: str, split: str, message: str, images: str, write: Any
) -> None:
    with pytest.raises(DataError, match=message):
        Flickr8kCaptions(write("tokens.txt", tokens), write("split.txt", split), images).read()


CSV = (
    "image_name| comment_number| comment\n"
    "a.jpg| 0| Two young guys with shaggy hair | one of them outside .\n"
    "a.jpg| 1| Two men .\n"
    "b.jpg| 4   A dog runs across the grass .\n"  # as row 19,999 of the published file is
)


@pytest.mark.parametrize("split", ["b.jpg\na.jpg\n", "b\r\na\r\n"])
def test_flickr30k_is_read_from_either_file_by_names_with_and_without_an_ending(
    split: str, images: str, write: Any
) -> None:
    a, b = (Path(images, name) for name in ("a.jpg", "b.jpg"))
    listed = write("train.txt", split)
    assert Flickr30kCaptions(write("results.csv", CSV), images, listed).read() == [
        CaptionRecord(b, "b.jpg", ("A dog runs across the grass .",)),
        CaptionRecord(a, "a.jpg", ("Two young guys with shaggy hair | one of them outside .", "Two men .")),
    ]
    tokens = write("results_20130124.token", "a.jpg#0\tTwo young guys .\nb.jpg#4\tA dog .\na.jpg#1\tTwo men .\n")
    assert Flickr30kCaptions(tokens, images, listed).read() == [
        CaptionRecord(b, "b.jpg", ("A dog .",)),
        CaptionRecord(a, "a.jpg", ("Two young guys .", "Two men .")),
    ]


def test_flickr30k_without_a_split_is_all_of_it(images: str, write: Any) -> None:
    assert [record.image_id for record in Flickr30kCaptions(write("r.csv", CSV), images).read()] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize(
    ("captions", "split", "message"),
    [
        (CSV, "z\n", r"split.txt, line 1 names the image 'z', which has no captions in .*r.csv"),
        (CSV, "a\na.jpg", "split.txt has the image 'a.jpg' twice"),
        (CSV, "", "split.txt names no images"),
        ("image_name| comment_number| comment\n", "a", "r.csv has no captions"),
        ("a.jpg| 0| \n", "a", "r.csv, line 1: the caption is empty"),
        ("a.jpg, 0, A dog\n", "a", r"r.csv, line 1 is not of the form name.jpg\| 0\| caption: 'a.jpg, 0, A dog'"),
        ("z.jpg| 0| A dog\n", "z", r"split.txt, line 1 names the image .*z.jpg, which is not there"),
    ],
)
def test_what_is_wrong_in_flickr30ks_files_is_told_with_its_line(
    captions: str, split: str, message: str, images: str, write: Any
) -> None:
    with pytest.raises(DataError, match=message):
        Flickr30kCaptions(write("r.csv", captions), images, write("split.txt", split)).read()


def karpathy(name: str, split: str, *captions: str, **more: Any) -> dict[str, Any]:
    sentences = [{"raw": caption, "tokens": caption.lower().split()} for caption in captions]
    return {"filename": name, "split": split, "sentences": sentences, "imgid": 0} | more


def test_karpathys_splits_are_taken_by_name(images: str, write: Any) -> None:
    coco = [
        karpathy("a.jpg", "restval", "A dog.", "One dog. ", filepath="val2014", cocoid=9),
        karpathy("b.jpg", "train", "A cat.", filepath="train2014", cocoid=42),  # lies in the folder itself
        karpathy("gone.jpg", "test", "", filepath="val2014", cocoid=43),
    ]
    path = write("dataset.json", {"images": coco, "dataset": "coco"})
    assert KarpathyCaptions(path, images, ["train", "restval"]).read() == [
        CaptionRecord(Path(images, "val2014/a.jpg"), 9, ("A dog.", "One dog.")),
        CaptionRecord(Path(images, "b.jpg"), 42, ("A cat.",)),
    ]


@pytest.mark.parametrize(
    "name", ["val2014/COCO_val2014_000000000009.jpg", "COCO_val2014_000000000009.jpg", "train2017/000000000009.jpg"]
)
def test_karpathys_coco_is_found_in_the_folders_of_2014_and_of_2017(name: str, tmp_path: Path, write: Any) -> None:
    (tmp_path / "coco" / name).parent.mkdir(parents=True)
    (tmp_path / "coco" / name).touch()
    image = karpathy("COCO_val2014_000000000009.jpg", "restval", "A dog.", filepath="val2014", cocoid=9)
    (record,) = KarpathyCaptions(
        write("dataset_coco.json", {"images": [image]}), str(tmp_path / "coco"), ["restval"]
    ).read()
    assert (record.image, record.image_id) == (tmp_path / "coco" / name, 9)


def test_flickrs_images_in_karpathys_file_go_by_their_names(images: str, write: Any) -> None:
    path = write("dataset.json", {"images": [karpathy("a.jpg", "val", "A dog.")]})
    assert KarpathyCaptions(path, images, ["val"]).read()[0].image_id == "a.jpg"


@pytest.mark.parametrize(
    ("image", "splits", "error", "message"),
    [
        (karpathy("a.jpg", "val", "A dog."), ["valid"], ConfigError, "has no split 'valid'; it has val"),
        (karpathy("a.jpg", "val", "A dog."), [], ConfigError, "has no split to read; it has val"),
        (karpathy("a.jpg", "val", " "), ["val"], DataError, r"image a.jpg: a caption is empty"),
        (karpathy("a.jpg", "val") | {"sentences": [{}]}, ["val"], DataError, "a sentence has no 'raw'"),
        (karpathy("z.jpg", "val", "A dog."), ["val"], DataError, r"z.jpg, which is not there"),
        ({"filename": "a.jpg", "sentences": []}, ["val"], DataError, r"images\[0\] has no 'split'"),
        (
            karpathy("a.jpg", "val", cocoid="nine"),
            ["val"],
            DataError,
            "image a.jpg has the cocoid 'nine' where COCO has",
        ),
    ],
)
def test_what_is_wrong_in_karpathys_file_is_told_with_its_place(
    image: dict[str, Any], splits: list[str], error: type[SaccadeError], message: str, images: str, write: Any
) -> None:
    with pytest.raises(error, match=message):
        KarpathyCaptions(write("dataset.json", {"images": [image]}), images, splits).read()
