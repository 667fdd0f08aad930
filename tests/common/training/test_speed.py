from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from common.errors import ConfigError
from common.training.speed import Faster


class Model(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(2, 2), nn.Linear(2, 2)


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)
    torch.compiler.reset()


@pytest.fixture(scope="module")
def trainer() -> Trainer:
    return Trainer(accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False)


def test_the_products_precision_holds_while_it_is_trained(trainer: Trainer) -> None:
    torch.set_float32_matmul_precision("high")
    callback, model = Faster("medium"), Model()
    callback.setup(trainer, model, "fit")
    assert torch.get_float32_matmul_precision() == "medium"
    callback.teardown(trainer, model, "fit")
    assert torch.get_float32_matmul_precision() == "high"


def test_the_parts_named_are_compiled_and_keep_the_names_of_their_weights(trainer: Trainer) -> None:
    model, x = Model(), torch.randn(3, 2)
    names, expected = list(model.state_dict()), model.encoder(x)
    Faster(compile=["encoder"], backend="eager").setup(trainer, model, "fit")
    assert model.encoder._compiled_call_impl is not None
    assert model.decoder._compiled_call_impl is None
    assert list(model.state_dict()) == names
    torch.testing.assert_close(model.encoder(x), expected)


def test_a_part_that_there_is_not_is_refused_in_one_sentence(trainer: Trainer) -> None:
    with pytest.raises(ConfigError, match=r"^Faster: the model has no part 'encodr' to compile.*encoder"):
        Faster(compile=["encodr"]).setup(trainer, Model(), "fit")
