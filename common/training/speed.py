"""Choices that make training faster and change its numbers by rounding alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from common.errors import ConfigError, nearest


class Faster(Callback):
    """Goes into `trainer.callbacks` of an experiment; `trainer.precision: bf16-mixed` beside it is Lightning's own.

    Args:
        matmul: how matrices of float32 are multiplied. "medium" rounds their numbers to bfloat16 where the processor
            has instructions for it (on a CPU: oneDNN, two to three times as fast; on a GPU see "high", TF32);
            "highest" never rounds. See `torch.set_float32_matmul_precision`.
        compile: parts of the model that go through `torch.compile`, such as [encoder]. Worth it where shapes stay: a
            recurrent decoder is compiled anew for each length of captions, and then does without the gradients of
            `common.attention.steps`. The first steps take minutes, and a CPU needs a C++ compiler.
        backend: of `torch.compile`.

    Raises:
        ConfigError: the model has no such part.
    """

    def __init__(
        self,
        matmul: Literal["highest", "high", "medium"] = "highest",
        compile: Sequence[str] = (),
        backend: str = "inductor",
    ) -> None:
        self.matmul = matmul
        self.compile = list(compile)
        self.backend = backend
        self._before = torch.get_float32_matmul_precision()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Choose; what is compiled keeps its place and the names of its weights."""
        self._before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(self.matmul)
        parts = dict(pl_module.named_children())
        for name in self.compile:
            if name not in parts:
                raise ConfigError(f"Faster: the model has no part {name!r} to compile{nearest(name, parts)}")
            part: nn.Module = parts[name]
            part.compile(backend=self.backend)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """What is trained next chooses for itself."""
        torch.set_float32_matmul_precision(self._before)
