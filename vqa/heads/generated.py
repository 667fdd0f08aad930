"""Answers written word by word, by the search that writes captions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention import AttentionOutput
from common.data.vocabulary import END, PAD, START, Vocabulary
from common.search import Search, Step, beam_search
from common.search.decoder import word_log_probs
from vqa.data import VQABatch
from vqa.heads.base import RANKED, AnswerHead, Counted, Ranked
from vqa.questions import Question

GREEDY = 1


@dataclass(frozen=True)
class FusedQuestions:
    """What the model makes of each of N questions with its picture; the search counts them by `keep`, of no regions."""

    values: Float[Tensor, "N W"]

    @property
    def keep(self) -> Bool[Tensor, "N 0"]:
        """The decoder looks at no regions: the model has looked before."""
        return self.values.new_zeros(len(self.values), 0, dtype=torch.bool)


class AnswerState(NamedTuple):
    """Hidden state and cell of the LSTM for Q sequences of each question."""

    hidden: Float[Tensor, "N Q W"]
    cell: Float[Tensor, "N Q W"]

    def reorder(self, parents: Int[Tensor, "N Q"]) -> AnswerState:
        """The state whose sequence q continues sequence parents[q]."""
        index = parents.unsqueeze(-1).expand(-1, -1, self.hidden.shape[2])
        return AnswerState(self.hidden.gather(1, index), self.cell.gather(1, index))


class AnswerDecoder(nn.Module):
    """An LSTM that begins with the model's output z: h_0 = tanh(W z + b), c_0 = 0, p_t = softmax(U h_t)."""

    def __init__(self, vocabulary_size: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, dim, padding_idx=PAD)
        self.begin = nn.Linear(dim, dim)
        self.lstm = nn.LSTM(dim, dim, batch_first=True)
        self.classify = nn.Linear(dim, vocabulary_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, fused: Float[Tensor, "N W"], words: Int[Tensor, "N T"]) -> Float[Tensor, "N T V"]:
        """Logits of what follows each word of given answers."""
        hidden = torch.tanh(self.begin(fused)).unsqueeze(0)
        states = self.lstm(self.dropout(self.embedding(words)), (hidden, torch.zeros_like(hidden)))[0]
        return self.classify(self.dropout(states))

    def start(self, features: FusedQuestions, sequences: int = 1) -> AnswerState:
        """The state before the first word."""
        hidden = torch.tanh(self.begin(features.values)).unsqueeze(1).repeat(1, sequences, 1)
        return AnswerState(hidden, torch.zeros_like(hidden))

    def step(self, tokens: Int[Tensor, "N Q"], state: AnswerState) -> Step[AnswerState]:
        """Log-probabilities [N Q V] of the next word."""
        shape = tokens.shape
        before = state.hidden.flatten(0, 1).unsqueeze(0), state.cell.flatten(0, 1).unsqueeze(0)
        words = self.embedding(tokens.reshape(-1, 1))
        states, (hidden, cell) = self.lstm(words, before)
        after = AnswerState(hidden.view_as(state.hidden), cell.view_as(state.cell))
        log_probs = word_log_probs(self.classify(states.squeeze(1))).unflatten(0, shape)
        nowhere = AttentionOutput(after.hidden, after.hidden.new_zeros(*shape, 0))
        return Step(log_probs, after, nowhere)


class GeneratedAnswer(AnswerHead):
    """An LSTM writes the answer, in the words of the known answers; it may write one that is not among them.

    Trained for the cross-entropy of the words of the most common answer, as captions are; questions without a known
    answer do not count. The probability of an answer is the product of those of its words and of its end.

    Args:
        answers: the known answers; the model works them out.
        dim: W, the width of the model's output, of the words and of the LSTM.
        dropout: of the words and of the states.
        beam: how many answers are followed at once; validation follows one.
    """

    texts: Int[Tensor, "A T"]

    def __init__(self, answers: list[str], dim: int = 512, dropout: float = 0.0, beam: int = RANKED) -> None:
        super().__init__()
        self.width = dim
        split = [answer.split() for answer in answers]
        self.words = Vocabulary.build(split)
        self.index = {" ".join(words): number for number, words in enumerate(split)}
        longest = max(map(len, split))
        self.search = Search(beam, longest)
        rows = [[START, *self.words.encode(words), END, *[PAD] * (longest - len(words))] for words in split]
        self.register_buffer("texts", torch.tensor(rows), persistent=False)
        self.decoder = AnswerDecoder(len(self.words), dim, dropout)

    def losses(self, output: Float[Tensor, "B Q W"], batch: VQABatch) -> dict[str, Float[Tensor, ""]]:
        """The scalar "cross_entropy", a mean over words."""
        known, texts = self._known(batch)
        logits = self.decoder(output[known], texts[:, :-1])
        targets = texts[:, 1:]
        total = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD, reduction="sum")
        return {"cross_entropy": total / (targets != PAD).sum().clamp(min=1)}

    def counted(self, batch: VQABatch) -> Counted:
        """The words of the known answers, their ends among them, and the questions that are asked."""
        _, texts = self._known(batch)
        return Counted((texts[:, 1:] != PAD).sum(), batch.asked.sum())

    @torch.no_grad()
    def accuracy(self, output: Float[Tensor, "B Q W"], batch: VQABatch) -> Float[Tensor, ""]:
        """The mean score of the answers that are written word by likeliest word, in percent."""
        was_training = self.training
        self.eval()
        written = self._write(output[batch.asked], GREEDY)
        self.train(was_training)
        scores = [
            row[self.index[text]] if text in self.index else row.new_zeros(())
            for row, text in zip(batch.targets[batch.asked], (ranked.best[0][0] for ranked in written), strict=True)
        ]
        return 100 * torch.stack(scores).mean()

    def answers(self, output: Float[Tensor, "B Q W"], asked: Sequence[Sequence[Question]]) -> list[list[Ranked]]:
        """The answers that the search finds; choices play no part."""
        written = iter(self._write(output.flatten(0, 1), self.search.beam))
        rows = [[next(written) for _ in range(output.shape[1])] for _ in asked]
        return [row[: len(questions)] for row, questions in zip(rows, asked, strict=True)]

    def _known(self, batch: VQABatch) -> tuple[Bool[Tensor, "B Q"], Int[Tensor, "N T"]]:
        """The questions with a known answer, and the most common answer to each."""
        known = batch.votes.amax(-1) > 0
        return known, self.texts[batch.votes[known].argmax(-1)]

    def _write(self, fused: Float[Tensor, "N W"], beam: int) -> list[Ranked]:
        found = beam_search(
            self.decoder, FusedQuestions(fused), Search(beam, self.search.longest, best=min(beam, RANKED))
        )
        return [
            Ranked([(" ".join(self.words.decode(each.tokens)), math.exp(each.score)) for each in answers[:RANKED]])
            for answers in found
        ]
