"""How sequences of words are searched for or drawn: plain values that may stand in an experiment's file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from common.data.tokenizer import tokenize
from common.errors import ConfigError


def _at_least(name: str, value: float, least: int) -> None:
    if not value >= least:  # NaN is not
        raise ConfigError(f"{name} must be at least {least}, not {value}")


def _check_lengths(name: str, settings: Any) -> None:
    _at_least(f"{name}.longest", settings.longest, 1)
    _at_least(f"{name}.shortest", settings.shortest, 0)
    if settings.shortest > settings.longest:
        raise ConfigError(f"{name}.shortest {settings.shortest} is more than {name}.longest {settings.longest}")
    required = len(settings.words.required)
    if required > settings.longest:
        raise ConfigError(f"{required} required words have no room in {name}.longest {settings.longest}")


def _word(list_name: str, text: str) -> str:
    words = tokenize(text)
    if len(words) != 1:
        raise ConfigError(f"words.{list_name}: {text!r} is no single word")
    return words[0]


@dataclass(frozen=True)
class Wording:
    """Which words may, must not and must be written.

    no_repeat: no so many words stand in the same order twice in a caption; 0 lets words repeat.
    forbidden: these words are not written.
    required: each of these is written once at least; "dog|dogs" asks for one of several.

    Raises:
        ConfigError: an entry is no single word, or they contradict each other.
    """

    no_repeat: int = 0
    forbidden: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _at_least("words.no_repeat", self.no_repeat, 0)
        forbidden = {_word("forbidden", text) for text in self.forbidden}
        counts = Counter(word for entry in self.required_words() for word in set(entry))
        for word, count in counts.items():
            if word in forbidden:
                raise ConfigError(f"{word!r} is both required and forbidden")
            if count > 1:
                raise ConfigError(f"{word!r} is required twice: name it in one entry of words.required")

    def forbidden_words(self) -> list[str]:
        """As the vocabulary spells them."""
        return [_word("forbidden", text) for text in self.forbidden]

    def required_words(self) -> list[list[str]]:
        """The words of which each entry asks for one, as the vocabulary spells them."""
        return [[_word("required", text) for text in entry.split("|")] for entry in self.required]


@dataclass(frozen=True)
class Diversity:
    """Diverse beam search (Vijayakumar et al. 2016): groups of beams, one after the other at each step.

    groups: they divide the beam.
    strength: how much less a word is worth to a group for each time that earlier groups wrote it at the same step.
    """

    groups: int = 1
    strength: float = 0.0

    def __post_init__(self) -> None:
        _at_least("diversity.groups", self.groups, 1)
        _at_least("diversity.strength", self.strength, 0)
        if self.groups == 1 and self.strength:
            raise ConfigError("diversity.strength sets groups apart, and there is one: set diversity.groups too")


@dataclass(frozen=True)
class Search:
    """How captions are searched for.

    beam: how many captions of each picture are followed at once; 1 is greedy search.
    longest: captions end after so many words at the latest.
    length_power: captions are ranked by their log-probability over their length to this power; 0 takes the plain sum,
        which favours short captions, 1 the mean.
    best: how many captions of each picture are wanted; the search ends when these are certain.
    shortest: captions have so many words at least.

    Raises:
        ConfigError: no caption can be found so.
    """

    beam: int = 3
    longest: int = 20
    length_power: float = 0.0
    best: int = 1
    shortest: int = 0
    diversity: Diversity = Diversity()
    words: Wording = Wording()

    def __post_init__(self) -> None:
        for name in ("beam", "best"):
            _at_least(f"search.{name}", getattr(self, name), 1)
        _at_least("search.length_power", self.length_power, 0)
        _check_lengths("search", self)
        if self.best > self.beam:
            raise ConfigError(f"search.best {self.best} is more than search.beam {self.beam}")
        if self.beam % self.diversity.groups:
            raise ConfigError(f"{self.diversity.groups} diversity.groups do not divide search.beam {self.beam}")
        needed = (len(self.words.required) + 1) * self.diversity.groups
        if self.words.required and self.beam < needed:
            raise ConfigError(
                f"search.beam {self.beam} is too narrow for {len(self.words.required)} required words"
                f"{' in each group' if self.diversity.groups > 1 else ''}: at least {needed}"
            )


@dataclass(frozen=True)
class Sampling:
    """How words are drawn.

    longest: sequences end after so many words at the latest.
    temperature: words are drawn from softmax(log-probabilities / temperature); below 1 likely words are preferred.
    top_k: only the so many likeliest words may be drawn (Fan et al. 2018); 0 leaves all.
    top_p: only the likeliest words that together have this probability may be drawn, after temperature and `top_k`
        (the nucleus of Holtzman et al. 2020); 1 leaves all.
    shortest: sequences have so many words at least.

    Raises:
        ConfigError: nothing can be drawn so.
    """

    longest: int = 20
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    shortest: int = 0
    words: Wording = Wording()

    def __post_init__(self) -> None:
        _check_lengths("sampling", self)
        if not self.temperature > 0:
            raise ConfigError(
                f"sampling.temperature must be above 0, not {self.temperature}: for the likeliest words search greedily"
            )
        _at_least("sampling.top_k", self.top_k, 0)
        if not 0 < self.top_p <= 1:
            raise ConfigError(f"sampling.top_p must be above 0 and at most 1, not {self.top_p}")
        if self.words.required:
            raise ConfigError(f"words that are drawn cannot be required: search for {self.words.required[0]!r} instead")


@dataclass(frozen=True)
class Draws:
    """So many random captions of each picture."""

    samples: int = 1
    sampling: Sampling = Sampling()

    def __post_init__(self) -> None:
        _at_least("samples", self.samples, 1)
