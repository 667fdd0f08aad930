import pytest
import torch

from common.training.sharing import gathered, is_first, joined, own_device


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
