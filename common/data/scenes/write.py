"""Writing a level's scenes to a folder: pictures, COCO captions JSON, VQA v2 JSON, and boxes."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from tqdm import tqdm

from common.data.scenes.captions import captions
from common.data.scenes.draw import draw
from common.data.scenes.levels import ATTRIBUTES, Level
from common.data.scenes.questions import Balance, Question
from common.data.scenes.world import Scene, scene_at
from common.errors import DataError

VERSION = 1  # of the scenes: raised when the same level and seed would give other files
SPLITS = ("train", "val", "test")
STAMP = "scenes.json"
ANSWERS = 10
CHUNK = 100  # pictures that a worker draws at a time

Json = dict[str, Any]


def file_name(index: int) -> str:
    """The file of picture `index` of a split."""
    return f"{index:06d}.png"


def draw_pictures(folder: Path, level: Level, seed: int, split: str, indexes: range) -> int:
    """Draw pictures of a split into `folder`; how many there were. (A function of a module: workers import it.)"""
    for index in indexes:
        draw(scene_at(level, seed, split, index)).save(folder / file_name(index), compress_level=1)
    return len(indexes)


def _image_entry(scene: Scene, index: int) -> Json:
    height, width = scene.image_size
    boxes = []
    for thing in scene.objects:
        x0, y0, x1, y1 = (round(value, 2) for value in thing.box)
        attributes = [getattr(thing, name) for name in ATTRIBUTES if name != "shape"]
        boxes.append(
            {"bbox": [x0, y0, round(x1 - x0, 2), round(y1 - y0, 2)], "name": thing.shape, "attributes": attributes}
        )
    return {"id": index, "file_name": file_name(index), "height": height, "width": width, "boxes": boxes}


def _answer_type(question: Question) -> str:
    if question.answer in ("yes", "no"):
        return "yes/no"
    return "number" if question.answer.isdecimal() else "other"


@cache  # one list for all questions with this answer: two million entries of their own would take 0.5 GB
def _ten_answers(answer: str) -> list[Json]:
    """The ten annotators agree."""
    return [{"answer": answer, "answer_confidence": "yes", "answer_id": i + 1} for i in range(ANSWERS)]


def _annotation(question: Question, image_id: int, question_id: int) -> Json:
    """An entry of VQA v2's annotations."""
    return {
        "question_id": question_id,
        "image_id": image_id,
        "question_type": question.kind,
        "answer_type": _answer_type(question),
        "multiple_choice_answer": question.answer,
        "answers": _ten_answers(question.answer),
        "focus": list(question.focus),
    }


def describe(level: Level, seed: int, split: str, progress: bool = False) -> dict[str, Json]:
    """The contents of a split's three JSON files, by the files' first word: "captions", "questions", "annotations"."""
    images: list[Json] = []
    told: list[Json] = []
    asked: list[Json] = []
    answered: list[Json] = []
    balance = Balance(level)
    for index in tqdm(range(level.images(split)), desc=f"{split} texts", unit="image", disable=not progress):
        scene = scene_at(level, seed, split, index)
        rng = random.Random(f"{seed}/{split}/{index}/text")
        images.append(_image_entry(scene, index))
        for text in captions(scene, level, rng):
            told.append({"id": len(told), "image_id": index, "caption": text})
        for question in balance.choose(scene, rng):
            asked.append({"question_id": len(asked), "image_id": index, "question": question.text})
            answered.append(_annotation(question, index, len(answered)))
    info = {"description": f"Scenes of drawn objects, {split}", "version": str(VERSION)}
    kind = {"info": info, "data_type": "scenes", "data_subtype": split}
    return {
        "captions": {"info": info, "images": images, "annotations": told},
        "questions": {**kind, "task_type": "Open-Ended", "questions": asked},
        "annotations": {**kind, "images": images, "annotations": answered},
    }


@contextmanager
def _mapping(workers: int) -> Iterator[Callable[..., Iterable[int]]]:
    """A `map` over `workers` processes, or in this one."""
    if workers <= 1:
        yield map
        return
    # Spawned, not forked: the caller may have threads (PyTorch's), which a fork would leave locked. Ctrl-C is the
    # parent's to answer.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


def _write_all(folder: Path, level: Level, seed: int, progress: bool, workers: int) -> None:
    jobs: list[tuple[Path, Level, int, str, range]] = []
    for split in SPLITS:
        pictures, count = folder / "images" / split, level.images(split)
        pictures.mkdir(parents=True)
        chunks = (range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK))
        jobs += [(pictures, level, seed, split, chunk) for chunk in chunks]
    with _mapping(workers) as run:
        drawn = run(draw_pictures, *zip(*jobs, strict=True))  # processes draw while the texts are made here
        for split in SPLITS:
            for name, content in describe(level, seed, split, progress).items():
                (folder / f"{name}_{split}.json").write_text(json.dumps(content, separators=(",", ":")))
        with tqdm(total=sum(map(level.images, SPLITS)), desc="pictures", unit="image", disable=not progress) as bar:
            for count in drawn:
                bar.update(count)


def _stamp(level: Level, seed: int) -> str:
    return json.dumps({"version": VERSION, "seed": seed, "level": asdict(level)}, indent=1)


def _is_written(root: Path, stamp: str) -> bool:
    """Whether the folder holds these very scenes. Raises DataError where it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    if not (root / STAMP).is_file():
        raise DataError(f"{root}: not a folder of scenes (no {STAMP}); choose a folder that is empty or new")
    if (root / STAMP).read_text() != stamp:
        raise DataError(f"{root}: holds scenes of another level, seed or version; remove it or choose another folder")
    return True


def write_scenes(root: Path, level: Level, seed: int = 0, progress: bool = False, workers: int | None = None) -> None:
    """Write the scenes of a level to `root`, unless they are there already. Nothing half written is left behind.

    Files: images/{train,val,test}/000000.png, captions_{split}.json (COCO), questions_{split}.json and
    annotations_{split}.json (VQA v2). Beyond the formats, images have "boxes" and annotations have "focus", the indexes
    of the boxes that the question is about. The files do not depend on `workers`, the number of processes that draw.

    Raises DataError where `root` holds something else or cannot be written.
    """
    stamp = _stamp(level, seed)
    if _is_written(root, stamp):
        return
    if workers is None:
        workers = min(os.cpu_count() or 1, sum(map(level.images, SPLITS)) // 500)
    place = root.resolve()
    partial = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        _write_all(partial, level, seed, progress, workers)
        (partial / STAMP).write_text(stamp)
        partial.replace(place)
    except OSError as error:
        if not _is_written(root, stamp):  # else another process was faster
            raise DataError(f"{root}: cannot write the scenes: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
