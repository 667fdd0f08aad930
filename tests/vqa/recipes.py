"""Tiny VQA models that the tests share."""

from __future__ import annotations

from typing import Any

import torch

from common.data.module import Loading
from common.data.scenes import SceneQuestions
from common.training.optimisation import Optimisation
from common.training.parts import Part
from vqa.data import VQABatch, VQAData
from vqa.module import VQAModule

GRID: Part = {
    "class_path": "common.encoders.ImageEncoder",
    "init_args": {"name": "test_resnet", "stage": 3, "image_size": [64, 64], "geometry": True},
}
BOXES: Part = {"class_path": "common.encoders.RegionEncoder", "init_args": {"grid": GRID, "geometry": True}}
LEVELS: Part = {
    "class_path": "common.encoders.HierarchicalTextEncoder",
    "init_args": {"dim": 24, "layers": 1, "dropout": 0.0},
}
TRANSFORMER: Part = {
    "class_path": "common.encoders.TransformerTextEncoder",
    "init_args": {"dim": 24, "layers": 2, "heads": 2, "dropout": 0.0},
}
JOINED: Part = {"class_path": "vqa.models.HierarchicalCoAttention", "init_args": {"dropout": 0.0}}
BLIND: Part = {"class_path": "vqa.models.QuestionOnly", "init_args": {"dropout": 0.0}}
PARALLEL: Part = {"class_path": "common.attention.ParallelCoAttention"}
ALTERNATING: Part = {"class_path": "common.attention.AlternatingCoAttention"}
BILINEAR: Part = {"class_path": "common.attention.BilinearCoAttention", "init_args": {"glimpses": 2}}
GUIDED: Part = {"class_path": "common.attention.GuidedCoAttention", "init_args": {"layers": 1, "heads": 2}}
ONE_LEVEL: Part = {**JOINED, "init_args": {"dropout": 0.0, "levels": ["question"]}}
SOFT_LABELS: Part = {"class_path": "vqa.objectives.SoftCrossEntropy"}


def data(scenes: str, **settings: Any) -> VQAData:
    sources = (SceneQuestions("tiny", split, scenes) for split in ("train", "val", "test"))  # type: ignore[arg-type]
    return VQAData(*sources, **({"loading": Loading(8, in_memory=True)} | settings))


def module(
    source: VQAData,
    encoder: Part = GRID,
    text: Part = LEVELS,
    model: Part = JOINED,
    co_attention: Part | None = PARALLEL,
    objective: Part = SOFT_LABELS,
) -> VQAModule:
    return VQAModule(
        encoder,
        text,
        model,
        objective,
        source.vocabulary,
        source.answers,
        co_attention,
        optimisation=Optimisation(1e-2, schedule="constant"),
    )


def attached(scenes: str, **recipe: Any) -> tuple[VQAModule, VQAData]:
    """A VQA model and its data, without a trainer."""
    source = data(scenes)
    made = module(source, **recipe)
    made.attach(source)
    return made, source


def overfit(made: VQAModule, batch: VQABatch, steps: int = 25) -> list[float]:
    """Train on one batch; the loss at each step."""
    optimizer = torch.optim.AdamW(made.parameters(), 1e-2)
    losses = []
    made.train()
    batch = batch.replace(visual=made.features(batch.visual))  # frozen: once is enough
    for _ in range(steps):
        (loss,) = made.head.losses(made(batch).logits, batch).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    made.eval()
    return losses
