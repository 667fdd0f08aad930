from __future__ import annotations

import argparse

import pytest
import torch

from common.commands import Complaints, Parser, at_least_one, has_parts, seed, usable_device, whole_text
from common.errors import ConfigError, DataError


def test_a_wrong_option_is_told_in_one_line_that_names_it() -> None:
    parser = Parser("what it does")
    parser.add_argument("--beam", type=at_least_one)
    with pytest.raises(ConfigError, match=r"^argument --beam: must be a whole number from 1 on, not '0'; --help lists"):
        parser.parse_args(["--beam", "0"])


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "two", ""])
def test_counts_start_at_one(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="whole number from 1 on"):
        at_least_one(text)
    assert at_least_one("12") == 12


@pytest.mark.parametrize("text", ["-1", "1.5", "x", "", str(2**32)])
def test_seeds_are_those_that_every_generator_takes(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="whole number from 0 to 4294967295, not "):
        seed(text)
    assert seed("0") == 0


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="has bytes that are no utf-8 text: "):
        whole_text("what is \udcff?")
    assert whole_text("日本は何?") == "日本は何?"


@pytest.mark.parametrize("name", ["cpux", "cuda:99", "meta"])
def test_devices_that_nothing_can_be_computed_on_are_refused_in_one_line(name: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError) as refused:
        usable_device(name)
    assert str(refused.value).startswith(f"cannot compute on {name!r}: ")
    assert "\n" not in str(refused.value)
    assert usable_device("cpu") == torch.device("cpu")


def test_complaints_end_the_program_only_if_there_were_any(capsys: pytest.CaptureFixture[str]) -> None:
    complaints = Complaints()
    complaints.exit_if_any()
    complaints(DataError("a.json is empty"))
    with pytest.raises(SystemExit) as ended:
        complaints.exit_if_any()
    assert ended.value.code == 2
    assert capsys.readouterr().err == "error: a.json is empty\n"


def test_parts_are_drawn_where_wanted_and_there_and_their_lack_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    wanted, unwanted = argparse.Namespace(parts=True), argparse.Namespace(parts=False)
    assert has_parts(wanted, "head")
    assert not has_parts(unwanted, "head")
    assert not has_parts(unwanted, None)
    assert capsys.readouterr().err == ""
    assert not has_parts(wanted, None)
    assert "--parts has no effect" in capsys.readouterr().err
