"""docs/attention.md names every kind of attention that there is, and each of its config lines makes a model that learns
and shows where it looks."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn

import captioning.decoders
import common.attention
import common.encoders
from captioning.decoders import Decoder
from captioning.module import CaptioningModule
from common.attention import Refiner
from common.encoders import TextEncoder, WordEmbedding
from common.training.composition import merge
from tests.captioning import recipes as captioners
from tests.vqa import recipes as answerers
from vqa.module import VQAModule

CATALOGUE = Path(__file__).parents[1] / "docs" / "attention.md"
ENTRY = re.compile(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
LINE = re.compile(r"^```yaml\n# (captioning|vqa)\n(.*?)^```", re.MULTILINE | re.DOTALL)

ENTRIES = dict(ENTRY.findall(CATALOGUE.read_text(encoding="utf-8")))
LINES = [(name, task, line) for name, text in ENTRIES.items() for task, line in LINE.findall(text)]
every_line = pytest.mark.parametrize(
    ("task", "line"),
    [each[1:] for each in LINES],
    ids=[f"{name}-{task}-{i}" for i, (name, task, _) in enumerate(LINES)],
)


def _kinds() -> set[str]:
    """What can stand in a config: the concrete parts of attention, decoders and text encoders."""
    wanted = (
        (common.attention, nn.Module),
        (captioning.decoders, Decoder),
        (common.encoders, TextEncoder),
        (common.encoders, WordEmbedding),
    )
    return {
        name
        for package, base in wanted
        for name in package.__all__
        if isinstance(kind := getattr(package, name), type)
        and issubclass(kind, base)
        and not inspect.isabstract(kind)
        and kind is not Refiner  # what the refiners share
    }


def test_catalogue_and_code_name_the_same_kinds() -> None:
    assert set(ENTRIES) == _kinds()


@pytest.mark.parametrize("name", ENTRIES)
def test_each_kind_says_when_what_it_costs_where_it_is_from_and_how_to_have_it(name: str) -> None:
    text = ENTRIES[name]
    for item in ("**When:**", "**Cost:**", "**From:**"):
        assert item in text, item
    assert LINE.search(text) or "**Part of:**" in text


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("scenes"))


def _captioner(scenes: str, changes: dict[str, Any]) -> None:
    recipe = {"encoder": captioners.GRID, "decoder": captioners.DECODER, "attention": captioners.SOFT}
    recipe["objectives"] = (captioners.CROSS_ENTROPY,)  # type: ignore[assignment]
    module, data = captioners.attached(scenes, **merge(recipe, changes))
    batch = next(iter(data.loader("val")))
    _learns(module, sum(module.train()(batch).values()))  # type: ignore[arg-type]
    maps = module.eval().caption(batch.visual)[0].maps
    assert ("caption, parts" in maps) == (module.decoder.part_axis is not None)


def _answerer(scenes: str, changes: dict[str, Any]) -> None:
    recipe = {"encoder": answerers.GRID, "text": answerers.LEVELS, "model": answerers.JOINED}
    recipe["co_attention"] = answerers.PARALLEL
    module, data = answerers.attached(scenes, **merge(recipe, changes))
    batch = next(iter(data.loader("val")))
    _learns(module, sum(module.head.losses(module.train()(batch).logits, batch).values()))
    maps = module.eval().answer(batch.visual, [["what", "colour"] for _ in batch.records])[0][0].maps
    assert ("image, parts" in maps) == (module.model.part_axis is not None)


def _learns(module: CaptioningModule | VQAModule, loss: Any) -> None:
    loss.backward()
    assert all(p.grad.isfinite().all() for p in module.parameters() if p.grad is not None)
    parts = (module.decoder,) if isinstance(module, CaptioningModule) else (module.model,)
    attention = [p for part in parts for name, p in part.named_parameters() if p.requires_grad]
    assert sum(p.grad is not None and bool(p.grad.any()) for p in attention) > len(attention) / 2


@every_line
def test_each_line_of_config_makes_a_model_that_learns_and_shows_its_looks(scenes: str, task: str, line: str) -> None:
    torch.manual_seed(0)
    changes = yaml.safe_load(line)
    (_captioner if task == "captioning" else _answerer)(scenes, changes)
