"""Every attention mechanism (see `kinds.py`) compiled and exported: no graph breaks, and the same numbers."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from common.attention import AttentionMechanism, Grid
from tests.common.attention.kinds import KEY, MECHANISMS, QUERY, build_kind

every_kind = pytest.mark.parametrize("kind", MECHANISMS)


class _Look(nn.Module):
    """Tensors in, tensors out: keys are prepared and looked at, as at a decoder's second word."""

    def __init__(self, mechanism: AttentionMechanism[Any], grid: type[Grid]) -> None:
        super().__init__()
        self.mechanism, self.grid = mechanism, grid

    def forward(self, query: Tensor, keys: Tensor, keep: Tensor, view: Tensor) -> tuple[Tensor, ...]:
        prepared = self.mechanism.prepare(keys, keep, layout=self.grid(2, 2, view))
        return tuple(tensor for tensor in self.mechanism(query, prepared, step=1) if tensor is not None)


def _inputs() -> tuple[Tensor, ...]:
    query, keys = torch.randn(2, 3, QUERY).double(), torch.randn(2, 4, KEY).double()
    keep = torch.tensor([[True, True, False, True], [False] * 4])
    return query, keys, keep, torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2).double()


@pytest.fixture(scope="module")
def unchecked() -> Iterator[ModuleType]:
    """`kinds` as a program has it: imported without the checks of shapes, which cannot be compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "meta_path", [finder for finder in sys.meta_path if "jaxtyping" not in repr(type(finder))])
        for name in list(sys.modules):
            if name.split(".")[0] == "common" or name == "tests.common.attention.kinds":
                patch.delitem(sys.modules, name)
        yield import_module("tests.common.attention.kinds")


@every_kind
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # after a broken graph
def test_training_compiles_as_one_graph(kind: str, unchecked: ModuleType) -> None:
    grid = import_module("common.attention.maps").Grid
    look, inputs = _Look(unchecked.build_kind(kind), grid).train(), _inputs()
    recurrent = any(isinstance(module, nn.RNNBase) for module in look.modules())  # PyTorch leaves the graph at these
    torch.compiler.reset()
    compiled = torch.compile(look, fullgraph=not recurrent, backend="eager")
    torch.manual_seed(1)
    expected = look(*inputs)
    torch.manual_seed(1)
    torch.testing.assert_close(compiled(*inputs), expected)


@every_kind
@pytest.mark.filterwarnings("ignore:The tensor attributes .*_flat_weights.* were assigned during export")  # a GRU's
def test_evaluation_can_be_exported(kind: str) -> None:
    look, inputs = _Look(build_kind(kind), Grid).eval(), _inputs()
    exported = torch.export.export(look, inputs).module()
    others = *(tensor.flip(0, 1) for tensor in inputs[:3]), inputs[3]  # what is valid, too
    torch.testing.assert_close(exported(*others), look(*others))
