"""A decoder so small that all that it can write can be counted: two words, each followed by another or by the end."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from captioning.decoders import Decoder, TeacherForced
from captioning.objectives import Captions
from captioning.rewards import Reward
from common.attention import AttentionOutput, Grid, VisualFeatures
from common.data.records import CaptionRecord
from common.data.vocabulary import END, PAD, SPECIALS, START, Vocabulary
from common.search import Step
from common.search.decoder import word_log_probs

WORDS = Vocabulary([*SPECIALS, "a", "b"])
A, B = 4, 5
LONGEST = 2
# Everything that can be written in two words at most; those of two words are cut off before their end.
EVERYTHING = [(END,), *((word, END) for word in (A, B)), *product((A, B), repeat=2)]
RECORDS = [CaptionRecord(Path("one.png"), 1, ("a", "a b")), CaptionRecord(Path("two.png"), 2, ("b a b",))]


class ToyState:
    def reorder(self, parents: Tensor) -> ToyState:
        return self


class Toy(Decoder[Any]):
    """p(next | last) by a free table."""

    kind = "toy"

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(len(WORDS), len(WORDS)).double())
        self.modes: list[tuple[str, bool, bool]] = []

    def start(self, features: VisualFeatures, sequences: int = 1) -> ToyState:
        self.modes.append(("start", self.training, torch.is_grad_enabled()))
        return ToyState()

    def step(self, tokens: Tensor, state: Any) -> Step[Any]:
        weights = torch.ones(*tokens.shape, 1).double()
        return Step(word_log_probs(self.table[tokens]), state, AttentionOutput(weights, weights))

    def forward(self, features: VisualFeatures, tokens: Tensor, keep: Tensor) -> TeacherForced:
        self.modes.append(("forward", self.training, torch.is_grad_enabled()))
        return TeacherForced(word_log_probs(self.table[tokens[keep]]), torch.ones(*tokens.shape, 1).double())

    def log_prob(self, text: tuple[int, ...]) -> Tensor:
        """Of a caption, among those that the search may write."""
        allowed = self.table[:, [END, A, B]].log_softmax(-1)
        pairs = zip((START, *text), text, strict=False)
        return torch.stack([allowed[last, [END, A, B].index(word)] for last, word in pairs]).sum()


class Table(Reward):
    """A reward that is looked up; the last words that it saw are kept."""

    name = "table"
    typical = 1.0

    def __init__(self, worth: dict[tuple[int, ...], float], weight: float = 1.0) -> None:
        super().__init__(weight)
        self.worth = worth
        self.asked: list[tuple[list[int], list[list[int]]]] = []

    def prepare(self, references: Any, vocabulary: Any) -> None:
        self.references = references

    def score(self, images: Any, captions: Any) -> Any:
        self.asked.append((list(images), list(captions)))
        return torch.tensor([self.worth[tuple(text)] for text in captions]).double().numpy()


def batch(decoder: Toy, count: int = 1) -> Captions:
    """The first pictures of the records; what is given as captions does not matter here."""
    view = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(count, 4)
    features = VisualFeatures(
        torch.zeros(count, 1, 1).double(), torch.ones(count, 1, dtype=torch.bool), Grid(1, 1, view)
    )
    tokens = torch.tensor([[[START, A, END]]]).expand(count, 1, 3)
    keep = torch.ones_like(tokens[..., 1:], dtype=torch.bool)
    return Captions(decoder, features, tokens[..., :-1], tokens[..., 1:], keep, RECORDS[:count])


def padded(texts: list[list[tuple[int, ...]]]) -> tuple[Tensor, Tensor]:
    """tokens and keep [B Q T] as the search gives them: it ends what is cut off."""
    whole = [[text if text[-1] == END else (*text, END) for text in row] for row in texts]
    longest = max(len(text) for row in whole for text in row)
    tokens = torch.tensor([[[*text, *[PAD] * (longest - len(text))] for text in row] for row in whole])
    return tokens, tokens != PAD
