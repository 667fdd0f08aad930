from __future__ import annotations

import io
import json
import sys

import pytest
from torch.utils.data import DataLoader

from common.errors import ImageError, Terminated, nearest, run_script


def test_the_nearest_name_is_offered_or_all_of_them() -> None:
    assert nearest("learning_rat", ["learning_rate", "weight_decay"]) == "; did you mean 'learning_rate'?"
    assert nearest("x", ["beta", "alpha"]) == "; known: alpha, beta"


def fail(_: object) -> None:
    raise ImageError("image a.png is an empty file")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_fault_is_one_line_and_exit_code_2_wherever_it_was_raised(
    workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    loader = DataLoader([1], collate_fn=fail, num_workers=workers)  # type: ignore[arg-type]
    with pytest.raises(SystemExit) as ended:
        run_script(lambda: print(list(loader)))
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: image a.png is an empty file\n"


@pytest.mark.parametrize(
    ("stop", "code", "told"), [(KeyboardInterrupt, 130, "interrupted\n"), (Terminated, 143, "terminated\n")]
)
def test_what_ends_a_script_from_outside_is_one_line_and_the_signals_exit_code(
    stop: type[BaseException], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped() -> None:
        raise stop

    with pytest.raises(SystemExit) as ended:
        run_script(stopped)
    assert ended.value.code == code
    assert capsys.readouterr().err == told


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_names_that_the_terminal_cannot_show_are_spelt_out(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding=encoding, errors="strict"))
    name = "\u65e5\udcff.png"  # a surrogate stands for a byte that was not UTF-8
    run_script(lambda: print(json.dumps(name, ensure_ascii=False), flush=True))
    assert json.loads(written.getvalue()) == name
