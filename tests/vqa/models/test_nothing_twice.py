"""No model works the same thing out twice: across levels, hops, glimpses, layers, or the questions about a picture."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.vqa.models.cases import MODELS, build, facts, pictures, questions, run

PICTURES, QUESTIONS = 2, 3
MAPS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.RNNBase)


def inputs(name: str) -> list[tuple[str, Tensor]]:
    """What each of a model's maps was given, call by call."""
    model, seen = build(name), []
    for part, module in model.named_modules():
        if isinstance(module, MAPS):
            module.register_forward_hook(lambda _, given, __, part=part: seen.append((part, given[0].detach().clone())))
    run(model, pictures(PICTURES), *questions([[4, 2, 3], [1, 3, 2]]), facts([[2, 1, 1], [1, 3, 2]]))
    return seen


@pytest.mark.parametrize("name", MODELS)
def test_no_map_is_given_the_same_twice(name: str) -> None:
    seen = inputs(name)
    for number, (part, given) in enumerate(seen):
        for other, before in seen[:number] if given.any() else ():  # states begin with zeros
            assert part != other or given.shape != before.shape or not torch.equal(given, before), part


@pytest.mark.parametrize("name", MODELS)
def test_no_map_of_the_picture_is_made_for_each_question(name: str) -> None:
    for part, given in inputs(name):
        if given.shape[0] == PICTURES * QUESTIONS:
            given = given.unflatten(0, (PICTURES, QUESTIONS))
        if given.shape[:2] == (PICTURES, QUESTIONS):
            assert not given.any() or not torch.equal(given[:, :1].expand_as(given), given), part
