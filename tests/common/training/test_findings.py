from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.distributed as dist

from common.data import epochs
from common.data.epochs import EpochLoader, EpochShuffle, WholeBatches
from common.training import findings
from common.training.findings import Findings


def in_process(monkeypatch: pytest.MonkeyPatch, rank: int, processes: int) -> None:
    """As if this were one of several processes."""
    for module in (epochs, findings):
        monkeypatch.setattr(module, "place_among_processes", lambda: (rank, processes))


@pytest.mark.parametrize(("size", "batch_size", "processes"), [(17, 4, 2), (16, 4, 2), (3, 4, 2), (9, 2, 3), (1, 1, 3)])
def test_processes_take_whole_batches_in_turn_and_as_many(
    monkeypatch: pytest.MonkeyPatch, size: int, batch_size: int, processes: int
) -> None:
    alone = [list(range(start, min(start + batch_size, size))) for start in range(0, size, batch_size)]
    dealt = []
    for rank in range(processes):
        in_process(monkeypatch, rank, processes)
        share = WholeBatches(size, batch_size)
        numbers = list(share)
        assert len(share) == len(numbers)
        dealt.append([numbers[start : start + batch_size] for start in range(0, len(numbers), batch_size)])
    assert len({len(batches) for batches in dealt}) == 1
    in_turn = [batch for turn in zip(*dealt, strict=True) for batch in turn]
    assert in_turn[: len(alone)] == alone
    assert all(batch == alone[0] for batch in in_turn[len(alone) :])


@pytest.mark.parametrize("size", [10, 11, 1])
def test_processes_train_on_different_examples_in_an_order_of_each_epoch(
    monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    whole = EpochShuffle(size, seed=1)
    whole.set_epoch(3)
    order = list(whole)
    shares = []
    for rank in range(2):
        in_process(monkeypatch, rank, 2)
        share = EpochShuffle(size, seed=1)
        share.set_epoch(3)
        shares.append(list(share))
        assert len(share) == len(shares[rank])
    assert len(shares[0]) == len(shares[1]) == (size + 1) // 2
    in_turn = [number for turn in zip(*shares, strict=True) for number in turn]
    assert in_turn == order + order[: len(in_turn) - size]


def test_processes_draw_numbers_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = []
    for rank in range(2):
        in_process(monkeypatch, rank, 2)
        loader: EpochLoader[Any] = EpochLoader(range(4), sampler=EpochShuffle(4, seed=1))  # type: ignore[arg-type]
        next(iter(loader))
        seeds.append(loader.generator.initial_seed())
    assert seeds[0] != seeds[1]


def batch(loss: float, *ids: int) -> tuple[dict[str, torch.Tensor], list[tuple[int, str]]]:
    return {"loss": torch.tensor(loss)}, [(each, f"found of {each}") for each in ids]


def test_each_example_of_all_processes_counts_once_in_the_order_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = [batch(1.0, 1, 2), batch(4.0, 5)], [batch(2.0, 3, 4), batch(1.0, 1, 2)]
    other = [
        findings._Batch({"loss": float(terms["loss"])}, {"loss": len(examples)}, dict(examples))
        for terms, examples in second
    ]

    def gathered(shares: list[Any], own: Any) -> None:
        shares[:] = [own, other]

    in_process(monkeypatch, 0, 2)
    monkeypatch.setattr(dist, "all_gather_object", gathered)
    collected: Findings[str] = Findings()
    for each in first:
        collected.add(*each)
    found = collected.gather()
    assert list(found.examples) == [1, 2, 3, 4, 5]
    assert found.terms == {"loss": (2 * 1.0 + 2 * 2.0 + 4.0) / 5}


def test_a_term_s_mean_is_over_what_it_counts_however_the_batches_are_cut() -> None:
    values = [1.0, 5.0, 2.0, 4.0]  # of the second and third example none
    each = [(0, [values[0]]), (1, []), (2, []), (3, values[1:])]
    for size in (1, 2, 3, 4):
        collected: Findings[None] = Findings()
        for start in range(0, 4, size):
            part = each[start : start + size]
            counted = [value for _, found in part for value in found]
            mean = torch.tensor(counted).mean()  # NaN of none
            collected.add(
                {"loss": mean, "none": mean}, [(key, None) for key, _ in part], {"loss": len(counted), "none": 0}
            )
        assert collected.gather().terms == pytest.approx({"loss": 3.0})


def test_what_was_gathered_or_cleared_is_forgotten() -> None:
    collected: Findings[str] = Findings()
    collected.add(*batch(1.0, 1))
    assert collected.gather().examples == {1: "found of 1"}
    collected.add(*batch(1.0, 2))
    collected.clear()
    assert collected.gather() == collected.gather()
    assert collected.gather().examples == {}
