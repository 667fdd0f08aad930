"""GQA, questions made of scene graphs: Hudson and Manning 2019, https://arxiv.org/abs/1902.09506."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from common.data.readers.checks import (
    Entry,
    ImageFolder,
    Slim,
    named_boxes,
    no_garbage_collection,
    read_json,
    require,
    require_text,
)
from common.data.readers.sources import VQASource
from common.data.records import NamedBox, Scoring, VQARecord
from common.errors import DataError

COMMON = ("color", "material", "shape")  # the official script allows these where two things have something in common


@dataclass(frozen=True)
class GQAQuestions(VQASource):
    """A GQA questions JSON (version 1.2, as its site describes it): an object with an entry for each question's id.

    An entry has `imageId`, `question` and, but for the test splits, `answer`, `types` (`structural`, `semantic` and
    `detailed`), `entailed` and `annotations`; all ids are text. A question is scored in "open" or "binary" and in its
    structural and semantic type, as by the official script. What consistency, validity and plausibility need is in the
    record's `scoring`.

    questions: a file, such as val_balanced_questions.json, or a folder of files, such as train_all_questions.
    images: the folder of the images, 2370799.jpg and so on.
    scene_graphs: {train,val}_sceneGraphs.json, for the objects of the images; the focus of a question is those that it
        and its full answer name, where the official grounding score wants attention.
    choices: {train,val}_choices.json or a folder of files: the valid and the plausible answers of each question.
    """

    questions: str
    images: str
    scene_graphs: str | None = None
    choices: str | None = None

    def read(self) -> list[VQARecord]:
        with no_garbage_collection():
            questions = _joined(self.questions, "GQA questions", _lean_questions())
            graphs = _SceneGraphs(self.scene_graphs) if self.scene_graphs else None
            choices = _Choices(self.choices) if self.choices else None
            folder = ImageFolder(self.images)
            records = []
            for question_id, question in questions.items():
                where = f"{self.questions}: question {question_id}"
                require(question, ("question", "imageId"), where)
                image_id = require_text(question["imageId"], f"{where}: the imageId")
                types = _types(question, where)
                boxes = graphs.boxes(image_id, where) if graphs else {}
                valid, plausible = choices.of(question_id, types, where) if choices else ((), ())
                records.append(
                    VQARecord(
                        image=folder.find(f"{image_id}.jpg", named_by=where),
                        image_id=image_id,
                        question=require_text(question["question"], where),
                        question_id=question_id,
                        answers=_answers(question, where),
                        types=_groups(types),
                        boxes=tuple(boxes.values()),
                        focus=_focus(question, boxes, where) if graphs else (),
                        scoring=Scoring(
                            entailed=_entailed(question, question_id, where),
                            valid=valid,
                            plausible=plausible,
                            group=_group(question, where),
                        ),
                    )
                )
        return records


class _SceneGraphs:
    """The objects of the images, with their boxes; each image's are made once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.graphs = _joined(path, "GQA scene graphs", _without_relations)
        self._boxes: dict[str, dict[str, NamedBox]] = {}

    def boxes(self, image_id: str, where: str) -> dict[str, NamedBox]:
        """The objects of an image by their ids."""
        if image_id not in self._boxes:
            if image_id not in self.graphs:
                raise DataError(f"{where} is about image {image_id}, which {self.path} does not have")
            self._boxes[image_id] = self._read(self.graphs[image_id], f"{self.path}: image {image_id}")
        return self._boxes[image_id]

    @staticmethod
    def _read(graph: Entry, where: str) -> dict[str, NamedBox]:
        require(graph, ("width", "height", "objects"), where)
        require(graph["objects"], (), f"{where}: the objects")
        boxes = []
        for key, each in graph["objects"].items():
            require(each, ("name", "x", "y", "w", "h"), f"{where}: object {key}")
            corner_and_size = [each[side] for side in "xywh"]
            boxes.append({"bbox": corner_and_size, "name": each["name"], "attributes": each.get("attributes", ())})
        made = named_boxes({"width": graph["width"], "height": graph["height"], "boxes": boxes}, where)
        return dict(zip(graph["objects"], made, strict=True))


class _Choices:
    """The answers that each question allows, and those that are common in the world; equal lists are kept once."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.choices = _joined(path, "GQA choices")
        self._lists: dict[tuple[str, ...], tuple[str, ...]] = {}

    def of(self, question_id: str, types: dict[str, str], where: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The valid and the plausible answers of a question."""
        if question_id not in self.choices:
            raise DataError(f"{where} has no entry in {self.path}: give the choices of the same split")
        if "Common" in types.get("detailed", ""):
            return COMMON, COMMON
        entry, where = self.choices[question_id], f"{self.path}: question {question_id}"
        require(entry, ("valid", "plausible"), where)
        valid, plausible = (_texts(entry[key], f"{where}: {key!r}") for key in ("valid", "plausible"))
        return self._lists.setdefault(valid, valid), self._lists.setdefault(plausible, plausible)


def _joined(path: str, kind: str, slim: Slim | None = None) -> Entry:
    """The entries of a file by their ids, or of all JSON files in a folder."""
    if not Path(path).is_dir():
        entries: Entry = read_json(path, (kind,), slim)
        return entries
    entries = {}
    for part in sorted(Path(path).glob("*.json")):
        for key, entry in read_json(str(part), (kind,), slim).items():
            if key in entries:
                raise DataError(f"{part} has the entry {key!r} of another file in that folder: take one of them out")
            entries[key] = entry
    if not entries:
        raise DataError(f"the folder {path} has no JSON files in it")
    return entries


def _lean_questions() -> Slim:
    """What leaves of a question what records need, and of equal ids one: the programs would take gigabytes."""
    ids: dict[str, str] = {}

    def slim(entry: Entry) -> Entry:
        if "imageId" not in entry:
            return entry
        kept = ("question", "imageId", "answer", "types", "entailed", "annotations", "groups")
        entry = {key: entry[key] for key in kept if key in entry}
        if isinstance(listed := entry.get("entailed"), list) and all(isinstance(each, str) for each in listed):
            entry["entailed"] = [ids.setdefault(each, each) for each in listed]
        return entry

    return slim


def _without_relations(entry: Entry) -> Entry:
    entry.pop("relations", None)
    return entry


def _answers(question: Entry, where: str) -> tuple[str, ...]:
    return (require_text(question["answer"], f"{where}: the answer"),) if "answer" in question else ()


def _types(question: Entry, where: str) -> dict[str, str]:
    types = question.get("types") or {}
    if not isinstance(types, dict):
        raise DataError(f"{where} has the types {types!r} where an object is wanted, such as {{'structural': 'query'}}")
    return {name: require_text(kind, f"{where}: the {name} type") for name, kind in types.items() if kind is not None}


def _groups(types: dict[str, str]) -> tuple[str, ...]:
    if "structural" not in types:
        return ()
    openness = "open" if types["structural"] == "query" else "binary"
    return (openness, types["structural"], *(types[name] for name in ("semantic",) if name in types))


def _entailed(question: Entry, question_id: str, where: str) -> tuple[str, ...]:
    return tuple(each for each in _texts(question.get("entailed", []), f"{where}: 'entailed'") if each != question_id)


def _group(question: Entry, where: str) -> str | None:
    """The group whose distribution of answers is compared; questions of attributes that nobody grouped have none."""
    groups = question.get("groups") or {}
    if not isinstance(groups, dict):
        raise DataError(f"{where} has the groups {groups!r} where an object is wanted, such as {{'global': 'color'}}")
    return None if groups.get("global") is None else require_text(groups["global"], f"{where}: the global group")


def _texts(listed: object, where: str) -> tuple[str, ...]:
    if not isinstance(listed, list) or not all(isinstance(each, str) for each in listed):
        raise DataError(f"{where} is {str(listed)[:80]} where a list of texts is wanted")
    return tuple(listed)


def _focus(question: Entry, boxes: dict[str, NamedBox], where: str) -> tuple[NamedBox, ...]:
    """The objects that the question and its full answer point to, each once."""
    annotations = question.get("annotations", {})
    try:
        named = [key for part in ("question", "fullAnswer") for key in annotations.get(part, {}).values()]
        return tuple(boxes[key] for key in dict.fromkeys(named))
    except (AttributeError, KeyError, TypeError) as error:
        raise DataError(
            f"{where} points to objects that its image's scene graph does not have: {annotations}"
        ) from error
