"""Reading cached features in training's order: shards against one .npy for each picture and a memory-mapped file."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.timing import arguments, print_table
from common.attention import Boxes, Grid, VisualFeatures
from common.data.features import FeatureCache
from common.errors import SaccadeError


def features(pictures: int, regions: int, width: int, boxes: bool) -> VisualFeatures:
    """Random features that float16 can hold."""
    values = torch.randn(pictures, regions, width).half().float()
    keep = torch.ones(pictures, regions, dtype=torch.bool)
    if boxes:
        corners = torch.rand(pictures, regions, 4) / 2
        return VisualFeatures(values, keep, Boxes(corners + torch.tensor([0, 0, 0.5, 0.5])))
    return VisualFeatures(values, keep, Grid(1, regions, torch.tensor([0.0, 0, 1, 1]).expand(pictures, 4)))


def write(folder: Path, pictures: int, regions: int, width: int, boxes: bool) -> tuple[FeatureCache, list[Path]]:
    """The same features in all three ways."""
    images = [folder / f"{number}.jpg" for number in range(pictures)]
    whole = np.lib.format.open_memmap(folder / "all.npy", "w+", np.float16, (pictures, regions, width))

    def encode(paths: list[Path]) -> VisualFeatures:
        made = features(len(paths), regions, width, boxes)
        for path, values in zip(paths, made.values.half().numpy(), strict=True):
            np.save(path.with_suffix(".npy"), values)
            whole[int(path.stem)] = values
        return made

    for image in images:
        image.touch()
    cache = FeatureCache.write(folder / "cache", "benchmark", images, encode)
    whole.flush()
    return cache, images


def readers(folder: Path, cache: FeatureCache, images: list[Path]) -> dict[str, Callable[[list[int]], Tensor]]:
    """What reads the values of a batch, by name."""
    mapped = np.load(folder / "all.npy", mmap_mode="r")
    return {
        "a .npy for each": lambda batch: torch.from_numpy(
            np.stack([np.load(folder / f"{index}.npy") for index in batch])
        ).float(),
        "memory map": lambda batch: torch.from_numpy(np.stack([mapped[index] for index in batch])).float(),
        "Saccade": lambda batch: cache.batch([images[index] for index in batch]).values.float(),
    }


def main(args: list[str] | None = None) -> None:
    """Compare what is read, then print the table."""
    parser = arguments("Reading of cached features.", pictures=256, batch=32, regions=49, width=1280)
    parser.add_argument("--boxes", action="store_true", help="regions are boxes, not cells of a grid")
    sizes = parser.parse_args(args)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ways = readers(folder, *write(folder, sizes.pictures, sizes.regions, sizes.width, sizes.boxes))
        batches = torch.randperm(sizes.pictures).split(sizes.batch)
        for batch in batches:
            first, *others = (read(batch.tolist()) for read in ways.values())
            if not all(torch.equal(first, other) for other in others):
                raise SaccadeError("what is read differs")
        kind = "boxes" if sizes.boxes else "cells"
        title = (
            f"Reading {sizes.pictures} pictures of {sizes.regions} {kind} x {sizes.width}"
            f" in float16, {2 * sizes.regions * sizes.width / 1000:.0f} KB each, in batches of {sizes.batch}, in random"
            " order, from the page cache"
        )

        def all_batches(read: Callable[[list[int]], Tensor]) -> None:
            for batch in batches:
                read(batch.tolist())

        passes = {name: partial(all_batches, read) for name, read in ways.items()}
        print_table(title, "pictures", sizes.pictures, sizes, None, passes)


if __name__ == "__main__":
    main()
