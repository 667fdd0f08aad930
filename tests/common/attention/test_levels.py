from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck

from common.attention import RecursiveEncoding
from tests.common.attention import reference


def _build(input_dim: int = 3, dims: tuple[int, ...] = (4, 5, 2), dropout: float = 0.0) -> RecursiveEncoding:
    torch.manual_seed(0)
    return RecursiveEncoding(input_dim, dims, dropout).double()


def _levels(count: int = 3, batch: int = 2, dim: int = 3) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(batch, dim, generator=generator, dtype=torch.float64) for _ in range(count)]


@pytest.mark.parametrize("dims", [(4,), (4, 5), (4, 5, 2)])
def test_the_encoding_equals_the_recursion_of_the_reference(dims: tuple[int, ...]) -> None:
    module = _build(dims=dims)
    levels = _levels(len(dims))
    output = module(levels)
    assert output.shape == (2, dims[-1])
    p = reference.parameters(module)
    for index in range(2):
        expected = reference.recursive_encoding(p, [level[index].numpy() for level in levels])
        np.testing.assert_allclose(output[index].detach().numpy(), expected, rtol=0, atol=1e-10)


def test_every_level_matters_and_gradients_are_right() -> None:
    module = _build()
    levels = [level.requires_grad_() for level in _levels()]
    assert gradcheck(lambda *inputs: module(inputs), levels)
    module(levels).sum().backward()
    assert all(level.grad is not None and level.grad.any() for level in levels)


def test_dropout_is_on_in_training_and_off_at_inference() -> None:
    module = _build(dropout=0.5)
    assert not torch.equal(module(_levels()), module(_levels()))
    module.eval()
    torch.testing.assert_close(module(_levels()), _build()(_levels()))


def test_another_number_of_levels_is_refused() -> None:
    for count in (0, 2, 4):
        with pytest.raises(ValueError, match="zip"):
            _build()(_levels(count))


def test_no_levels_at_all_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        RecursiveEncoding(3, ())
