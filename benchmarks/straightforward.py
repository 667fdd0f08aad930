"""Beam search of one picture as it is usually written: the regions are copied for each beam, and their keys are
projected again at each step; every beam's words are carried along, and those that have ended leave the beam."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

import torch
from torch import Tensor

from captioning.decoders import ShowAttendTell
from common.attention import VisualFeatures
from common.data.vocabulary import END, PAD, START, UNKNOWN


class StepByStep:
    """Show, Attend and Tell with the weights of `ours`."""

    def __init__(self, ours: ShowAttendTell, sizes: Namespace) -> None:
        self.ours = ours
        self.beam = sizes.beam
        self.longest = sizes.words

    @torch.no_grad()
    def write(self, picture: VisualFeatures) -> list[int]:
        """The words of the best caption found."""
        ours = self.ours
        regions = picture.values.expand(self.beam, -1, -1).contiguous()  # [K R D]
        hidden, cell = ours.start_hidden(regions.mean(1)).tanh(), ours.start_cell(regions.mean(1)).tanh()
        words = torch.full((self.beam, 1), START)
        scores = torch.zeros(self.beam)
        ended: list[tuple[float, list[int]]] = []
        for position in range(self.longest + 1):
            log_probs, hidden, cell = self._step(words[:, -1], regions, hidden, cell)
            log_probs[:, [PAD, START, UNKNOWN]] = -torch.inf
            if position == self.longest:
                log_probs[:, :END] = log_probs[:, END + 1 :] = -torch.inf
            totals = scores.unsqueeze(1) + log_probs
            totals = totals[:1] if position == 0 else totals  # at first all beams are one
            best, index = totals.flatten().topk(min(self.beam, totals.numel()))
            parents, chosen = index // log_probs.shape[1], index % log_probs.shape[1]
            words = torch.cat([words[parents], chosen.unsqueeze(1)], 1)
            ranked = sorted([*best.tolist(), *(score for score, _ in ended)], reverse=True)
            least = ranked[: self.beam][-1]
            ended = [each for each in ended if each[0] >= least]
            in_beam = zip(best.tolist(), words.tolist(), strict=True)
            ended += [(score, row) for score, row in in_beam if score >= least and row[-1] == END]
            kept = (best >= least) & (chosen != END)
            if not kept.any():
                break
            words, scores, regions = words[kept], best[kept], regions[parents[kept]]
            hidden, cell = hidden[parents[kept]], cell[parents[kept]]
        return max(ended)[1][1:-1]

    def _step(self, tokens: Tensor, regions: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-probabilities [K V] of the next word after `tokens` [K], and the new state."""
        ours = self.ours
        score: Any = ours.attention.score
        embedded = ours.embedding(tokens)
        keys = score.map_key(regions)  # [K R E]
        logits = torch.tanh(keys + score.map_query(hidden).unsqueeze(1)) @ score.vector  # [K R]
        context = (logits.softmax(-1).unsqueeze(-1) * regions).sum(1)
        context = context * ours.gate(hidden).sigmoid()  # type: ignore[misc]
        gates = ours.word_gates(embedded) + ours.context_gates(context) + ours.hidden_gates(hidden)
        write, forget, read, candidate = gates.chunk(4, -1)
        cell = forget.sigmoid() * cell + write.sigmoid() * candidate.tanh()
        hidden = read.sigmoid() * cell.tanh()
        summed = embedded + ours.output_hidden(hidden) + ours.output_context(context)
        return ours.output(ours.activation(summed)).log_softmax(-1), hidden, cell
