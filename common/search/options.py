"""The options of the command line that choose how captions are searched for or drawn."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import Any

import torch

from common.commands import at_least_one, seed
from common.errors import ConfigError
from common.search.settings import Draws, Sampling, Search

# The options by what they are for, with what of the settings they are.
SEARCHED = ("beam", "best", "length_power", "groups", "diversity", "require")
DRAWN = ("temperature", "top_k", "top_p", "seed")
BOTH = ("longest", "shortest", "no_repeat", "forbid")


def add_search_options(parser: argparse.ArgumentParser) -> None:
    """All of them; what is not given stays as the model was trained with."""

    def add(name: str, kind: Any, metavar: str, told: str, **settings: Any) -> None:
        parser.add_argument(f"--{name}", type=kind, metavar=metavar, help=told, **settings)

    add("beam", at_least_one, "N", "captions followed at once; 1 is greedy search")
    add("best", at_least_one, "N", "the N best captions of each picture; default 1")
    add("longest", at_least_one, "N", "the most words of a caption")
    add("shortest", at_least_one, "N", "the fewest words of a caption")
    add("length-power", float, "P", "rank captions by log-probability over length to the power of P")
    add("groups", at_least_one, "N", "diverse beam search: groups that keep away from each other; they divide the beam")
    add("diversity", float, "S", "how strongly they do")
    add("no-repeat", at_least_one, "N", "no N words stand in the same order twice")
    add("forbid", str, "WORD", "a word that is not written; may be given several times", action="append")
    add("require", str, "WORD", "a word that is written, or one of several: 'dog|dogs'; likewise", action="append")
    add("sample", at_least_one, "N", "draw N captions at random, and search for none")
    add("temperature", float, "T", "of the draws: below 1 likely words are preferred; default 1")
    add("top-k", at_least_one, "K", "draw from the K likeliest words alone")
    add("top-p", float, "P", "draw from the likeliest words that have probability P together")
    add("seed", seed, "N", "for the same draws each time")


def given_search_options(options: argparse.Namespace) -> list[str]:
    """Those that were given, as they are written."""
    names = ("sample", *SEARCHED, *DRAWN, *BOTH)
    return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]


def search_of(options: argparse.Namespace, own: Search) -> Search | Draws:
    """What the options ask for; `own` is the model's, for what they leave open. Seeds PyTorch where that is asked for.

    Raises:
        ConfigError: they contradict each other.
    """
    given = {name: value for name, value in vars(options).items() if value is not None}
    wrong = [name for name in (SEARCHED if "sample" in given else DRAWN) if name in given]
    if wrong:
        option = f"--{wrong[0].replace('_', '-')}"
        reason = (
            "searches, and --sample draws: leave one out" if "sample" in given else "is for draws: give --sample N too"
        )
        raise ConfigError(f"{option} {reason}")
    words = replace(own.words, **_given(given, no_repeat="no_repeat", forbidden="forbid", required="require"))
    lengths = _given(given, longest="longest", shortest="shortest")
    if "sample" not in given:
        diversity = replace(own.diversity, **_given(given, groups="groups", strength="diversity"))
        changes = lengths | _given(given, beam="beam", best="best", length_power="length_power")
        return replace(own, diversity=diversity, words=words, **changes)
    if "seed" in given:
        torch.manual_seed(options.seed)
    lengths = {"longest": own.longest, "shortest": own.shortest} | lengths
    cuts = _given(given, temperature="temperature", top_k="top_k", top_p="top_p")
    return Draws(options.sample, Sampling(words=words, **lengths, **cuts))


def _given(given: dict[str, Any], **names: str) -> dict[str, Any]:
    """The fields whose options, by their names, were given."""
    values = {field: given[name] for field, name in names.items() if name in given}
    return {field: tuple(value) if isinstance(value, list) else value for field, value in values.items()}
