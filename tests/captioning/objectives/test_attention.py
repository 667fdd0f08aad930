from __future__ import annotations

from itertools import product
from typing import Literal

import pytest
import torch

from captioning.decoders import TeacherForced
from captioning.objectives import DoublyStochastic, Objective, Redundancy
from common.errors import ConfigError
from common.training.parts import Part, build
from tests.captioning.objectives.cases import all_regions, given, given_to, valid

Reduction = Literal["paper", "code", "mean"]
REDUCTIONS: tuple[Reduction, ...] = ("paper", "code", "mean")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_looking_once_at_each_region_costs_nothing(reduction: Reduction) -> None:
    keep = valid([4], [4])
    weights = torch.eye(4)[torch.stack([torch.randperm(4), torch.randperm(4)])].unsqueeze(1)  # [2 1 4 4]
    output = TeacherForced(torch.zeros(8, 5), weights)
    loss = DoublyStochastic(1.0, reduction)(
        given_to(output, torch.zeros(2, 1, 4, dtype=torch.long), keep, all_regions(2))
    )
    assert loss["doubly_stochastic"] == 0


def test_the_three_reductions_differ_by_the_numbers_of_captions_and_regions() -> None:
    keep = valid([3, 2], [1, 3])
    output, targets = given(keep)
    paper, code, mean = (
        DoublyStochastic(1.0, reduction)(given_to(output, targets, keep, all_regions(2)))["doubly_stochastic"].item()
        for reduction in REDUCTIONS
    )
    captions, regions = 4, 4
    by_hand = sum(
        (1 - sum(output.weights[row, q, t, r].item() for t in range(3) if keep[row, q, t])) ** 2
        for row, q, r in product(range(2), range(2), range(regions))
    )
    assert paper == pytest.approx(by_hand / captions)
    assert code / paper == pytest.approx(captions / regions)
    assert mean / paper == pytest.approx(1 / regions)
    doubled = DoublyStochastic(2.0)(given_to(output, targets, keep, all_regions(2)))["doubly_stochastic"].item()
    assert doubled == pytest.approx(2 * paper)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_padded_steps_regions_and_captions_count_for_nothing(reduction: Reduction) -> None:
    objective = DoublyStochastic(1.0, reduction)
    keep = valid([3, 2])
    output, targets = given(keep)
    bare = objective(given_to(output, targets, keep, all_regions(1)))["doubly_stochastic"]
    padded_keep = torch.zeros(1, 4, 5, dtype=torch.bool)  # two more captions, two more steps
    padded_keep[:, :2, :3] = keep
    weights = torch.rand(1, 4, 5, 6).double()  # and two more regions
    weights[:, :2, :3, :4] = output.weights
    weights = torch.where(padded_keep.unsqueeze(-1), weights, 7.0)
    weights[..., 4:] = 0
    regions = torch.tensor([[True] * 4 + [False] * 2])
    padded_targets = torch.zeros(padded_keep.shape, dtype=torch.long)
    padded = objective(given_to(TeacherForced(output.log_probs, weights), padded_targets, padded_keep, regions))
    torch.testing.assert_close(padded["doubly_stochastic"], bare)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_picture_without_regions_misses_none(reduction: Reduction) -> None:
    keep = valid([3], [2])
    output, targets = given(keep)
    regions = all_regions(2)
    regions[1] = False
    output = output._replace(weights=output.weights * regions[:, None, None])
    loss = DoublyStochastic(1.0, reduction)(given_to(output, targets, keep, regions))["doubly_stochastic"]
    alone = DoublyStochastic(1.0, reduction)(
        given_to(TeacherForced(output.log_probs, output.weights[:1]), targets[:1], keep[:1], regions[:1])
    )["doubly_stochastic"]
    torch.testing.assert_close(loss, alone if reduction == "code" else alone / 2)


def test_an_unknown_reduction_is_refused() -> None:
    part: Part = {"class_path": "captioning.objectives.DoublyStochastic", "init_args": {"reduction": "sum"}}
    with pytest.raises(ConfigError, match=r"'reduction' must be one of 'paper', 'code', 'mean', not 'sum'"):
        build(part, Objective)


def test_the_parts_redundancy_is_a_mean_over_valid_words() -> None:
    keep = valid([2, 1], [0, 3])
    output, targets = given(keep)
    parts = torch.rand(2, 2, 3, 2, 4).double().softmax(-1)
    expected = 0.0
    for row, column, step in keep.nonzero().tolist():
        for one, other in product(range(2), range(2)):
            overlap = sum(
                parts[row, column, step, one, r].item() * parts[row, column, step, other, r].item() for r in range(4)
            )
            expected += (overlap - (one == other)) ** 2 / 6
    terms = Redundancy(0.5)(given_to(output._replace(parts=parts), targets, keep, all_regions(2)))
    assert {name: term.item() for name, term in terms.items()} == {"redundancy": pytest.approx(0.5 * expected)}


def test_attention_without_parts_cannot_be_redundant() -> None:
    keep = valid([3])
    with pytest.raises(ConfigError, match=r"^Redundancy is for attention with parts [^\n]*MultiHead$"):
        Redundancy()(given_to(*given(keep), keep, all_regions(1)))
