"""Tiny captioners that the tests share."""

from __future__ import annotations

from typing import Any

import torch

from captioning.data import CaptionBatch, CaptioningData
from captioning.module import CaptioningModule
from common.data.module import Loading
from common.data.scenes import SceneCaptions
from common.search import Search
from common.training.optimisation import Optimisation
from common.training.parts import Part

GRID: Part = {
    "class_path": "common.encoders.ImageEncoder",
    "init_args": {"name": "test_resnet", "stage": 3, "image_size": [64, 64], "geometry": True},
}
BOXES: Part = {"class_path": "common.encoders.RegionEncoder", "init_args": {"grid": GRID, "geometry": True}}
DECODER: Part = {
    "class_path": "captioning.decoders.ShowAttendTell",
    "init_args": {"embedding_dim": 32, "hidden_dim": 48, "dropout": 0.0},
}
ADAPTIVE: Part = {
    "class_path": "captioning.decoders.AdaptiveAttention",
    "init_args": {"embedding_dim": 32, "hidden_dim": 48, "dropout": 0.0},
}
TRANSFORMER: Part = {
    "class_path": "captioning.decoders.TransformerDecoder",
    "init_args": {"dim": 32, "heads": 2, "layers": 2, "dropout": 0.0},
}
MESHED: Part = {
    "class_path": "captioning.decoders.TransformerDecoder",
    "init_args": {"dim": 32, "heads": 2, "layers": 2, "dropout": 0.0, "memory_slots": 4, "mesh": "paper"},
}
SCORE: Part = {"class_path": "common.attention.AdditiveScore", "init_args": {"hidden_dim": 16}}
SOFT: Part = {"class_path": "common.attention.Attention", "init_args": {"score": SCORE}}
HARD: Part = {
    "class_path": "common.attention.Attention",
    "init_args": {"score": SCORE, "position": {"class_path": "common.attention.Hard"}},
}
CROSS_ENTROPY: Part = {"class_path": "captioning.objectives.CrossEntropy"}
DOUBLY: Part = {"class_path": "captioning.objectives.DoublyStochastic", "init_args": {"weight": 0.1}}
REINFORCE: Part = {"class_path": "captioning.objectives.HardAttentionReinforce"}


def data(scenes: str, **settings: Any) -> CaptioningData:
    sources = (SceneCaptions("tiny", split, scenes) for split in ("train", "val", "test"))  # type: ignore[arg-type]
    settings = {"loading": Loading(8, in_memory=True), "minimum_count": 1} | settings
    return CaptioningData(*sources, **settings)


def module(
    vocabulary: list[str],
    encoder: Part = GRID,
    decoder: Part = DECODER,
    attention: Part | None = SOFT,
    objectives: tuple[Part, ...] = (CROSS_ENTROPY,),
) -> CaptioningModule:
    return CaptioningModule(
        encoder,
        decoder,
        list(objectives),
        vocabulary,
        attention,
        optimisation=Optimisation(1e-2, schedule="constant"),
        search=Search(beam=3, longest=16),
    )


def attached(scenes: str, **recipe: Any) -> tuple[CaptioningModule, CaptioningData]:
    """A captioner and its data, without a trainer."""
    source = data(scenes)
    made = module(source.vocabulary, **recipe)
    made.attach(source)
    return made, source


def overfit(made: CaptioningModule, batch: CaptionBatch, steps: int = 25) -> list[float]:
    """Train on one batch; the cross-entropy at each step."""
    optimizer = torch.optim.AdamW(made.parameters(), 1e-2)
    losses = []
    made.train()
    batch = batch.replace(visual=made.features(batch.visual))  # frozen: once is enough
    for _ in range(steps):
        terms = made(batch)
        loss = torch.stack(list(terms.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(terms["cross_entropy"].item())
    made.eval()
    return losses
