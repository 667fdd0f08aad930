"""A captioner in which everything is drawn, trained and averaged goes on after a break as if there had been none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from captioning.module import CaptioningModule
from common.search import Search
from common.training.callbacks import EpochSeeds, best_and_last
from common.training.checkpoints import WholeFileIO
from common.training.optimisation import Optimisation
from tests.captioning import recipes

ENCODER: Any = {**recipes.GRID, "init_args": {**recipes.GRID["init_args"], "train_from": 0, "image_size": [32, 32]}}
DECODER: Any = {**recipes.DECODER, "init_args": {**recipes.DECODER["init_args"], "dropout": 0.5}}


def train(scenes: str, folder: Path, epochs: int, seed: int) -> CaptioningModule:
    """A captioner trained up to `epochs`, from the last checkpoint in the folder if there is one."""
    torch.manual_seed(seed)
    data = recipes.data(scenes, captions_per_image=2)
    module = CaptioningModule(
        ENCODER,
        DECODER,
        [recipes.CROSS_ENTROPY, recipes.REINFORCE],
        data.vocabulary,
        recipes.HARD,
        optimisation=Optimisation(1e-2, weight_decay=0.1, schedule="constant"),
        search=Search(longest=4),
    )
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[EpochSeeds(1), *best_and_last(folder, module.metric)],
        plugins=[WholeFileIO()],
        max_epochs=epochs,
        limit_train_batches=4,
        limit_val_batches=1,
    )
    last = folder / "last.ckpt"
    trainer.fit(module, datamodule=data, ckpt_path=last if last.exists() else None)
    return module


def test_hard_attention_dropout_and_batch_norm_go_on_after_a_break_bit_by_bit(scenes: str, tmp_path: Path) -> None:
    unbroken = train(scenes, tmp_path / "unbroken", epochs=2, seed=5)
    first = train(scenes, tmp_path / "broken", epochs=1, seed=5).state_dict()
    resumed = train(scenes, tmp_path / "broken", epochs=2, seed=99)  # a new process has drawn other numbers before
    assert resumed.trainer.global_step == 8
    found, expected = resumed.state_dict(), unbroken.state_dict()
    assert found.keys() == expected.keys()
    tensors = [name for name, value in expected.items() if isinstance(value, torch.Tensor)]
    assert [name for name in tensors if not torch.equal(found[name], expected[name])] == []
    changed = {name for name in tensors if not torch.equal(found[name], first[name])}
    assert {"objectives.1.baseline", "encoder.backbone.bn1.running_mean"} <= changed
