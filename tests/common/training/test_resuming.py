"""A run that was cut off and goes on must be the run that never stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from common.data.epochs import EpochLoader, EpochShuffle, epoch_seed
from common.training.callbacks import EpochSeeds, best_and_last
from common.training.checkpoints import WholeFileIO
from tests.common.training.stand_ins import Adder, Numbers

LAYER: Any = {"class_path": "torch.nn.Linear", "init_args": {"out_features": 1}}
BATCHES = 6


class PowerCut(Exception):
    pass


class CutOff(Callback):
    """Ends training with an exception within an epoch."""

    def __init__(self, epoch: int | None) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if trainer.current_epoch == self.epoch and trainer.fit_loop.epoch_loop.batch_idx == 2:
            raise PowerCut


def train(folder: Path, data: Numbers, cut_off: int | None = None, ckpt_path: Path | None = None) -> Adder:
    torch.manual_seed(5 if ckpt_path is None else 99)  # a process that resumes has drawn other numbers before
    module = Adder(LAYER, data.vocabulary)
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[EpochSeeds(1), *best_and_last(folder, Adder.metric), CutOff(cut_off)],
        plugins=[WholeFileIO()],
        max_epochs=4,
    )
    if cut_off is None:
        trainer.fit(module, datamodule=data, ckpt_path=ckpt_path)
    else:
        with pytest.raises(PowerCut):
            trainer.fit(module, datamodule=data)
    return module


@pytest.mark.parametrize("workers", [0, 1])
def test_losses_and_weights_after_resuming_are_those_of_an_unbroken_run(tmp_path: Path, workers: int) -> None:
    data = Numbers(workers=workers)
    unbroken = train(tmp_path / "unbroken", data)
    cut = train(tmp_path / "cut", Numbers(workers=workers), cut_off=2)
    resumed = train(tmp_path / "cut", Numbers(workers=workers), ckpt_path=tmp_path / "cut" / "last.ckpt")

    assert len(unbroken.losses) == 4 * BATCHES
    assert len(set(unbroken.losses)) == 4 * BATCHES
    assert cut.losses == unbroken.losses[: 2 * BATCHES + 3]
    assert resumed.losses == unbroken.losses[2 * BATCHES :]
    torch.testing.assert_close(resumed.layer.weight, unbroken.layer.weight, rtol=0, atol=0)
    best = [torch.load(tmp_path / run / "best.ckpt", weights_only=True)["epoch"] for run in ("unbroken", "cut")]
    assert best[0] == best[1]


def test_each_epoch_has_all_items_in_an_order_of_its_own() -> None:
    shuffle = EpochShuffle(50, seed=1)
    orders = []
    for epoch in range(3):
        shuffle.set_epoch(epoch)
        orders.append(tuple(shuffle))
    assert len(set(orders)) == 3
    assert all(sorted(order) == list(range(50)) for order in orders)
    shuffle.set_epoch(1)
    assert tuple(shuffle) == orders[1]


def test_no_seed_repeats_over_many_runs_and_epochs() -> None:
    assert len({epoch_seed(seed, epoch) for seed in range(200) for epoch in range(200)}) == 200 * 200


def _with_noise(items: list[int]) -> Tensor:
    return torch.tensor(items) + torch.rand(1)


def test_what_workers_draw_depends_on_the_epoch_only_even_if_the_iterator_was_asked_for_before() -> None:
    def one_pass(epoch: int, drawn_before: int, early: bool) -> list[float]:
        torch.manual_seed(drawn_before)
        shuffle = EpochShuffle(4, seed=1)
        loader: EpochLoader[Any] = EpochLoader(
            range(4),  # type: ignore[arg-type]
            sampler=shuffle,
            collate_fn=_with_noise,
            num_workers=1,
        )
        batches = iter(loader) if early else None
        shuffle.set_epoch(epoch)
        return [batch.item() for batch in batches or loader]

    assert one_pass(1, drawn_before=0, early=False) == one_pass(1, drawn_before=7, early=True)
    assert one_pass(1, drawn_before=0, early=False) != one_pass(2, drawn_before=0, early=False)
