from pathlib import Path
from typing import Any

import pytest

from common.data.readers import CocoCaptions
from common.data.records import CaptionRecord, NamedBox
from common.errors import DataError


def coco(**changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 42, "file_name": "b.jpg"}, {"id": 9, "file_name": "a.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 9, "caption": "A dog."},
            {"id": 2, "image_id": 42, "caption": " A cat\nsleeps. "},
            {"id": 3, "image_id": 9, "caption": "One brown dog."},
        ],
    } | changes


def test_captions_are_grouped_by_image_in_the_order_of_the_files(images: str, write: Any) -> None:
    assert CocoCaptions(write("captions.json", coco()), images).read() == [
        CaptionRecord(Path(images, "b.jpg"), 42, ("A cat sleeps.",)),
        CaptionRecord(Path(images, "a.jpg"), 9, ("A dog.", "One brown dog.")),
    ]


def test_boxes_in_pixels_become_corners_in_fractions(images: str, write: Any) -> None:
    box = {"bbox": [10, 20, 30, 40], "name": "cube", "attributes": ["red", "large"]}
    image = {"id": 42, "file_name": "b.jpg", "width": 100, "height": 200, "boxes": [box]}
    annotations = [{"image_id": 42, "caption": "A cube."}]
    record = CocoCaptions(write("c.json", {"images": [image], "annotations": annotations}), images).read()[0]
    assert record.boxes == (NamedBox((0.1, 0.1, 0.4, 0.3), "cube", ("red", "large")),)


def test_a_list_of_images_alone_gives_records_without_captions(images: str, write: Any) -> None:
    records = CocoCaptions(write("c.json", {"images": coco()["images"]}), images).read()
    assert [(record.image_id, record.captions) for record in records] == [(42, ()), (9, ())]


def test_the_image_info_of_a_test_set_gives_pictures_to_be_captioned(images: str, write: Any) -> None:
    image = {
        "license": 6,
        "file_name": "COCO_val2014_000000000042.jpg",
        "coco_url": "http://mscoco.org/images/42",
        "width": 640,
        "height": 427,
        "date_captured": "2013-11-24 22:08:27",
        "id": 42,
    }
    info = {
        "info": {"year": 2014, "version": "1.0"},
        "images": [image],
        "licenses": [{"id": 6}],
        "categories": [{"id": 1, "name": "person", "supercategory": "person"}],
    }
    records = CocoCaptions(write("image_info_test2014.json", info), images).read()
    assert records == [CaptionRecord(Path(images, "COCO_val2014_000000000042.jpg"), 42)]


@pytest.mark.parametrize("name", ["COCO_val2014_000000000009.jpg", "000000000009.jpg"])
def test_both_years_are_read_by_the_names_in_their_files(name: str, images: str, write: Any) -> None:
    captions = {
        "images": [{"id": 9, "file_name": name}],
        "annotations": [{"id": 1, "image_id": 9, "caption": "A dog."}],
    }
    assert CocoCaptions(write("c.json", captions), images).read() == [CaptionRecord(Path(images, name), 9, ("A dog.",))]


def nocaps(**image: Any) -> dict[str, Any]:
    first = {"id": 0, "license": 0, "open_images_id": "0013ea2087020901", "width": 1024, "height": 732}
    return {
        "licenses": [],
        "info": {"url": "http://nocaps.org", "version": "0.1"},
        "images": [first | {"file_name": "a.jpg", "domain": "near-domain"} | image],
        "annotations": [{"image_id": 0, "id": 0, "caption": "A baby is standing in front of a house."}],
    }


def test_nocaps_is_read_with_each_images_domain(images: str, write: Any) -> None:
    (record,) = CocoCaptions(write("nocaps_val_4500_captions.json", nocaps()), images).read()
    assert record == CaptionRecord(
        Path(images, "a.jpg"), 0, ("A baby is standing in front of a house.",), types=("near-domain",)
    )


@pytest.mark.parametrize("domain", [3, "", None])
def test_a_domain_that_is_no_text_is_told(domain: Any, images: str, write: Any) -> None:
    with pytest.raises(DataError, match=r"nocaps.json: image 0: its domain is "):
        CocoCaptions(write("nocaps.json", nocaps(domain=domain)), images).read()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"annotations": [{"id": 7, "image_id": 9, "caption": " "}]}, "caption 7 of image 9 is empty"),
        ({"annotations": [{"id": 7, "image_id": 9, "caption": None}]}, r"COCO list of images|text is wanted"),
        ({"annotations": [{"id": 7, "image_id": 8, "caption": "A dog."}]}, "image 8 is of an image that"),
        (
            {"images": [{"id": 9, "file_name": "gone.jpg"}]},
            "image 9 names the image .*gone.jpg, which is not there; set",
        ),
        ({"images": [{"id": 9, "file_name": "a.jpg"}] * 2}, "has the image 9 twice"),
        ({"images": [{"id": [9], "file_name": "a.jpg"}]}, "neither a number nor text"),
        ({"images": [{"file_name": "a.jpg"}]}, r"images\[0\] has no 'id'"),
        ({"images": {"id": 9}}, "'images' is a dict where a list is wanted"),
        ({"images": [{"id": 9, "file_name": "a.jpg", "boxes": [{}]}]}, "has boxes, has no 'width', 'height'"),
        (
            {"images": [{"id": 9, "file_name": "a.jpg", "boxes": [{}], "width": 1, "height": 1}]},
            'not of the form {"bbox"',
        ),
        (
            {
                "images": [
                    {"id": 9, "file_name": "a.jpg", "width": 64, "height": 48}
                    | {"boxes": [{"bbox": [70, 10, 20, 20], "name": "dog"}]}
                ]
            },
            "in pixels, with the picture's own width and height: .*70, 10",
        ),
    ],
)
def test_what_is_wrong_is_told_in_a_line_with_its_place(
    changes: dict[str, Any], message: str, images: str, write: Any
) -> None:
    path = write("captions.json", coco(**({"annotations": coco()["annotations"][:1]} | changes)))
    with pytest.raises(DataError, match=message) as caught:
        CocoCaptions(path, images).read()
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ({"questions": [{"question": "what?"}]}, "VQA questions"),
        ({"annotations": [{"question_id": 1, "answers": []}]}, "VQA annotations"),
        ({"annotations": [{"bbox": [0, 0, 1, 1]}], "images": [{"file_name": "a.jpg"}]}, "COCO object boxes"),
        ({"images": [{"sentences": []}]}, "a Karpathy split"),
        ([], "a JSON list"),
        ({"data": 1}, r"an unknown kind \(its keys: data\)"),
    ],
)
def test_a_json_of_another_kind_is_called_by_its_name(content: Any, kind: str, images: str, write: Any) -> None:
    with pytest.raises(DataError, match=f"holds .*{kind}.*, but COCO captions"):
        CocoCaptions(write("c.json", content), images).read()


def test_a_json_cut_in_half_is_told_with_the_place(images: str, write: Any) -> None:
    with pytest.raises(DataError, match=r"c.json is not JSON: .* at line 1, column 44 \(is the file cut off\?\)"):
        CocoCaptions(write("c.json", '{"images": [{"id": 42, "file_name": "b.jpg"'), images).read()


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"[" * 100_000, b"1" * 10_000])
def test_a_file_that_is_no_json_at_all(content: bytes, images: str, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(content)
    with pytest.raises(DataError, match=str(path)):
        CocoCaptions(str(path), images).read()


def test_a_missing_file_and_a_missing_folder_are_named(images: str, write: Any) -> None:
    with pytest.raises(DataError, match=r"none.json cannot be read: No such file"):
        CocoCaptions("none.json", images).read()
    with pytest.raises(DataError, match="image folder none does not exist"):
        CocoCaptions(write("c.json", coco()), "none").read()
