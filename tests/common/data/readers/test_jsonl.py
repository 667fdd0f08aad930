from pathlib import Path
from typing import Any

import pytest
from jsonargparse import ArgumentParser

from common.data.readers import CaptionSource, JsonlCaptions, JsonlQuestions, VQASource
from common.data.records import CaptionRecord, NamedBox, VQARecord
from common.errors import DataError


def test_captions_of_ones_own(images: str, write: Any) -> None:
    lines = (
        '{"image": "a.jpg", "captions": ["a dog", "one dog"]}\n\n'
        '{"image": "val2014/a.jpg", "id": 7, "width": 10, "height": 10, '
        '"boxes": [{"bbox": [0, 0, 5, 5], "name": "dog", "attributes": ["brown"]}]}\n'
    )
    assert JsonlCaptions(write("mine.jsonl", lines), images).read() == [
        CaptionRecord(Path(images, "a.jpg"), "a.jpg", ("a dog", "one dog")),
        CaptionRecord(Path(images, "val2014/a.jpg"), 7, (), (NamedBox((0, 0, 0.5, 0.5), "dog", ("brown",)),)),
    ]


def test_questions_of_ones_own(images: str, write: Any) -> None:
    lines = (
        '{"image": "a.jpg", "question": "what is it?", "answers": ["dog"], "types": ["animal"]}\r\n'
        '{"image": "a.jpg", "question": "is it red?", "id": "q2", "facts": ["a dog"], "choices": ["yes", "no"]}'
    )
    assert JsonlQuestions(write("mine.jsonl", "\ufeff" + lines), images).read() == [
        VQARecord(Path(images, "a.jpg"), "a.jpg", "what is it?", 1, ("dog",), ("animal",)),
        VQARecord(Path(images, "a.jpg"), "a.jpg", "is it red?", "q2", facts=("a dog",), choices=("yes", "no")),
    ]


def test_questions_may_come_with_facts_and_choices_or_with_empty_lists_of_them(images: str, write: Any) -> None:
    lines = (
        '{"image": "a.jpg", "question": "what is it?", "facts": ["Dogs  bark.", "it barks"], "choices": ["dog", "cat"]}'
        "\n"
        '{"image": "a.jpg", "question": "what is it?", "facts": [], "choices": []}'
    )
    first, second = JsonlQuestions(write("mine.jsonl", lines), images).read()
    assert (first.facts, first.choices) == (("Dogs bark.", "it barks"), ("dog", "cat"))
    assert (second.facts, second.choices) == ((), ())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"image": "a.jpg", "captions": [""]}', "line 2: a text in 'captions' is empty"),
        ('{"image": "a.jpg", "captions": "a dog"}', "line 2: 'captions' is 'a dog' where a list of texts is wanted"),
        ('{"image": "a.jpg", "captoins": ["a dog"]}', "line 2 has the key 'captoins', .* did you mean 'captions'"),
        ('{"image": "a.jpg", "capt', "line 2 is not JSON: .*cut off"),
        ('{"captions": ["a dog"]}', "line 2 has no 'image'"),
        ('["a.jpg"]', "line 2 is a list where an object is wanted"),
        ('{"image": "gone.jpg"}', "line 2 names the image .*gone.jpg, which is not there"),
        ('{"image": "b.jpg"}', "has the image 'b.jpg' twice"),
        (r'{"image": "a.jpg", "captions": ["a \ud83d dog"]}', r"line 2: a text .* holds half of a sign"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(line: str, message: str, images: str, write: Any) -> None:
    with pytest.raises(DataError, match=message):
        JsonlCaptions(write("mine.jsonl", f'{{"image": "b.jpg"}}\n{line}\n'), images).read()


@pytest.mark.parametrize(
    "boxes",
    [
        "[[0, 0, 5, 5]]",
        '{"bbox": [0, 0, 5, 5], "name": "dog"}',
        '[{"bbox": [0, 0, 5], "name": "dog"}]',
        '[{"bbox": [0, 0, -5, 5], "name": "dog"}]',
        '[{"bbox": [0, 0, NaN, 5], "name": "dog"}]',
        '[{"bbox": [0, 0, 5, 5], "name": 3}]',
    ],
)
def test_boxes_of_another_form_are_answered_with_the_right_one(boxes: str, images: str, write: Any) -> None:
    line = f'{{"image": "a.jpg", "width": 10, "height": 10, "boxes": {boxes}}}'
    with pytest.raises(DataError, match=r'line 1 has boxes .* of the form {"bbox": \[x, y, width, height\], "name"'):
        JsonlCaptions(write("mine.jsonl", line), images).read()


def test_an_empty_question_and_an_empty_file(images: str, write: Any) -> None:
    with pytest.raises(DataError, match="line 1: the question is empty"):
        JsonlQuestions(write("mine.jsonl", '{"image": "a.jpg", "question": "  "}'), images).read()
    with pytest.raises(DataError, match=r"mine.jsonl is empty"):
        JsonlQuestions(write("mine.jsonl", "\n"), images).read()


@pytest.mark.parametrize(
    ("base", "name", "fields"),
    [
        (CaptionSource, "CocoCaptions", {"annotations": "c.json", "images": "val2017"}),
        (
            CaptionSource,
            "KarpathyCaptions",
            {"annotations": "c.json", "images": "coco", "splits": ["train", "restval"]},
        ),
        (CaptionSource, "Flickr8kCaptions", {"tokens": "t.txt", "split": "s.txt", "images": "flickr8k"}),
        (CaptionSource, "JsonlCaptions", {"annotations": "c.jsonl", "images": "mine"}),
        (VQASource, "VQAQuestions", {"questions": "q.json", "images": "val2014", "annotations": None}),
        (VQASource, "DaquarQuestions", {"questions": "qa.txt", "images": "daquar"}),
        (VQASource, "JsonlQuestions", {"annotations": "q.jsonl", "images": "mine"}),
    ],
)
def test_a_config_names_a_reader_by_its_class(base: type, name: str, fields: dict[str, Any]) -> None:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_subclass_arguments(base, "source")
    config = {"source": {"class_path": f"common.data.readers.{name}", "init_args": fields}}
    source = parser.instantiate(parser.parse_object(config)).source
    assert type(source).__name__ == name
    assert {key: getattr(source, key) for key in fields} == fields
