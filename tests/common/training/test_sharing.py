import time
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp

from common.errors import DataError
from common.training.sharing import first_goes_ahead, gathered, is_first, joined, own_device


def test_what_one_process_alone_has_found_is_all_and_comes_in_the_order_asked_for() -> None:
    with joined():
        assert is_first()
        assert list(gathered({"b": 1, "a": 2}, ["a", "b", "not asked"]).items()) == [("a", 2), ("b", 1)]


def test_each_process_that_torchrun_starts_computes_on_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, gpu, third = map(torch.device, ("cpu", "cuda", "cuda:2"))
    assert own_device(gpu) == gpu
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    monkeypatch.setenv("LOCAL_RANK", "3")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [own_device(each) for each in (cpu, gpu, third)] == [cpu, torch.device("cuda", 1), third]


def note_in_turn(rank: int, folder: Path) -> None:
    """A note, made by the first process later than the other would make one alone; then both meet with a fault."""
    torch.distributed.init_process_group("gloo", f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    with first_goes_ahead(), (folder / "notes").open("a") as notes:
        time.sleep(0.2 * (1 - rank))
        notes.write(f"{rank} ")
    with pytest.raises(DataError), first_goes_ahead():
        raise DataError("both find it")
    torch.distributed.destroy_process_group()


@pytest.mark.filterwarnings("ignore:.*multi-threaded")
def test_what_the_first_process_makes_the_others_find(tmp_path: Path) -> None:
    mp.start_processes(note_in_turn, (tmp_path,), nprocs=2, start_method="fork")
    assert (tmp_path / "notes").read_text() == "0 1 "
