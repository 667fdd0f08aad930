from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from common.attention import AdditiveScore, Attention, QuestionGuided
from common.attention.transformer import TransformerLayer
from common.training import costs
from common.training.costs import Timed, TrainingSpeed, count_examples, parameters, peak_memory


class Clock:
    """A clock that is put forward by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=made))
    return made


def batch(*records: Any) -> Any:
    return SimpleNamespace(records=records)


def test_questions_are_counted_where_pictures_have_several() -> None:
    picture = SimpleNamespace()
    assert count_examples(batch(picture, picture, picture)) == 3
    assert count_examples(batch((picture, picture), (picture,), ())) == 3


class Training:
    """What the trainer tells a `TrainingSpeed`."""

    def __init__(self, speed: TrainingSpeed, clock: Clock) -> None:
        self.speed, self.clock = speed, clock
        self.module = Mock(spec=LightningModule, device=torch.device("cpu"))
        self.trainer = Mock(spec=Trainer, is_last_batch=False)

    def epoch(self) -> None:
        self.speed.on_train_epoch_start(self.trainer, self.module)

    def validate(self, seconds: float) -> None:
        self.clock.now += seconds
        self.speed.on_validation_end(self.trainer, self.module)

    def train(self, seconds: float, examples: int) -> None:
        self.clock.now += seconds
        self.speed.on_train_batch_end(self.trainer, self.module, None, batch(*[None] * examples), 0)


@pytest.fixture
def training(clock: Clock) -> Training:
    return Training(TrainingSpeed(), clock)


def test_training_speed_leaves_out_the_first_batch_of_an_epoch_and_validation(training: Training) -> None:
    for _ in range(2):
        training.epoch()
        training.train(50.0, 8)  # the loader begins
        training.train(2.0, 8)
        training.validate(1000.0)  # in the midst of the epoch
        training.train(3.0, 8)
        training.train(4.0, 4)
    assert training.speed.rate == pytest.approx(2 * (8 + 4) / (2 * (2 + 4)))


def test_one_batch_in_an_epoch_has_no_speed(training: Training) -> None:
    for _ in range(3):
        training.epoch()
        training.train(2.0, 8)
    assert training.speed.rate is None


class Slow:
    """A loader that takes its time."""

    def __init__(self, clock: Clock, sizes: list[int]) -> None:
        self.clock, self.sizes = clock, sizes

    def __len__(self) -> int:
        return len(self.sizes)

    def __iter__(self) -> Iterator[Any]:
        for size in self.sizes:
            self.clock.now += 10.0
            yield batch(*[None] * size)


def test_a_timed_loader_leaves_out_loading_and_the_first_batch(clock: Clock) -> None:
    loader: Timed[Any] = Timed(Slow(clock, [8, 8, 4]))
    assert (len(loader), loader.rate) == (3, None)
    for seconds, _ in zip((9.0, 1.0, 2.0), loader, strict=True):
        clock.now += seconds
    assert loader.rate == pytest.approx((8 + 4) / (1 + 2))
    alone: Timed[Any] = Timed(Slow(clock, [6]))
    for _ in alone:
        clock.now += 3.0
    assert alone.rate == pytest.approx(2.0)


def test_parameters_are_those_that_are_learned_and_attention_in_attention_counts_once() -> None:
    inner = Attention(AdditiveScore(4, 4, hidden_dim=3))
    guided = QuestionGuided(4, inner)
    model = nn.ModuleDict({"encoder": nn.Linear(5, 5), "guided": guided, "head": nn.Linear(4, 2)})
    model["encoder"].requires_grad_(False)
    looking = sum(weight.numel() for weight in guided.parameters())
    assert parameters(model) == (looking + 4 * 2 + 2, looking)
    assert parameters(nn.Linear(3, 2)) == (8, 0)
    layer = TransformerLayer(4, heads=2)
    assert parameters(layer)[1] == sum(weight.numel() for weight in layer.attention.parameters())


@pytest.mark.slow
def test_memory_is_this_process_s_own_and_not_that_of_the_one_that_started_it() -> None:
    block = bytearray(b"x") * (400 * 2**20)  # a parent that once was large
    code = "import torch; from common.training.costs import peak_memory; print(peak_memory(torch.device('cpu')))"
    root = Path(__file__).parents[3]
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root).stdout
    own = peak_memory(torch.device("cpu"))
    assert own > len(block) / 2**20
    assert 50 < float(printed) < own - 200
