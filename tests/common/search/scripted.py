"""Decoders that say by a table what follows each word, and pictures for them."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor

from common.attention import AttentionOutput, Grid, VisualFeatures
from common.data.vocabulary import END, SPECIALS, START, Vocabulary
from common.search import Step

WORDS = 7  # the four specials and three others
VOCABULARY = Vocabulary([*SPECIALS, "a", "b", "c"])


class Scripted:
    """Whatever the picture; its state does not matter. What the table leaves out has probability e^-30."""

    class State(NamedTuple):
        def reorder(self, parents: Tensor) -> Scripted.State:
            return self

    def __init__(self, table: dict[int, dict[int, float]]) -> None:
        self.log_probs = torch.full((WORDS, WORDS), -30.0)
        for word, following in table.items():
            for other, probability in following.items():
                self.log_probs[word, other] = torch.tensor(probability).log()

    def start(self, features: VisualFeatures, sequences: int = 1) -> Any:
        return self.State()

    def step(self, tokens: Tensor, state: Any) -> Step[Any]:
        """The weights are those of the word that it goes on from."""
        weights = torch.nn.functional.one_hot(tokens, WORDS).float()
        return Step(self.log_probs[tokens], state, AttentionOutput(weights, weights))


def pictures(batch: int = 3) -> VisualFeatures:
    view = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(batch, 4)
    return VisualFeatures(torch.randn(batch, 4, 5).double(), torch.ones(batch, 4, dtype=torch.bool), Grid(2, 2, view))


class Tables:
    """A table for each picture and position; `pictures_of` says which. Counts what it is asked."""

    class State(NamedTuple):
        picture: Tensor
        position: int = 0

        def reorder(self, parents: Tensor) -> Tables.State:
            return self

    def __init__(self, number: int, sharpness: float = 1.0) -> None:
        self.log_probs = (sharpness * torch.randn(number, 21, WORDS, WORDS, dtype=torch.float64)).log_softmax(-1)
        self.asked: list[int] = []  # pictures at each step

    def start(self, features: VisualFeatures, sequences: int = 1) -> Any:
        return self.State(features.values[:, 0, 0].long())

    def step(self, tokens: Tensor, state: Any) -> Step[Any]:
        """The weights are those of the word that it goes on from."""
        self.asked.append(len(tokens))
        weights = torch.nn.functional.one_hot(tokens, WORDS).double()
        log_probs = self.log_probs[state.picture.unsqueeze(1), state.position, tokens]
        return Step(log_probs, state._replace(position=state.position + 1), AttentionOutput(weights, weights))

    def log_prob(self, picture: int, words: tuple[int, ...]) -> float:
        """Of words without the start."""
        pairs = zip((START, *words), words, strict=False)
        return sum(self.log_probs[picture, position, a, b].item() for position, (a, b) in enumerate(pairs))

    def score(self, picture: int, words: tuple[int, ...], length_power: float = 0.0) -> float:
        return self.log_prob(picture, (*words, END)) / (len(words) + 1) ** length_power

    def ranked(self, picture: int, longest: int, length_power: float = 0.0) -> list[tuple[float, tuple[int, ...]]]:
        """All captions there are with their scores, best first."""
        captions = [words for length in range(longest + 1) for words in product((4, 5, 6), repeat=length)]
        return sorted(((self.score(picture, words, length_power), words) for words in captions), reverse=True)


def pictures_of(*tables: int) -> VisualFeatures:
    """A picture for each of the numbered tables."""
    features = pictures(len(tables))
    features.values[:, 0, 0] = torch.tensor(tables).double()
    return features
