"""Scheduled sampling (Bengio et al. 2015): in training, too, the decoder reads its own words at times."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from captioning.objectives.base import Captions, Objective
from common.data.records import CaptionRecord
from common.data.vocabulary import END, PAD
from common.search.constraints import NEVER_WRITTEN
from common.search.sampling import Sampling, draw


class Schedule(ABC):
    """How likely the true word is read, over the training."""

    @abstractmethod
    def truth(self, step: int) -> float:
        """The probability at the batch of this number, counted from 0."""


class LinearDecay(Schedule):
    """max(floor, start - slope i)."""

    def __init__(self, slope: float, start: float = 1.0, floor: float = 0.0) -> None:
        if slope < 0 or not 0 <= floor <= start <= 1:
            raise ValueError(f"needs slope >= 0 and 0 <= floor <= start <= 1, got {slope=}, {start=}, {floor=}")
        self.slope = slope
        self.start = start
        self.floor = floor

    def truth(self, step: int) -> float:
        """The probability at the batch of this number, counted from 0."""
        return max(self.floor, self.start - self.slope * step)


class ExponentialDecay(Schedule):
    """k^i."""

    def __init__(self, k: float) -> None:
        if not 0 < k < 1:
            raise ValueError(f"k must be between 0 and 1, got {k}")
        self.k = k

    def truth(self, step: int) -> float:
        """The probability at the batch of this number, counted from 0."""
        return self.k**step


class InverseSigmoidDecay(Schedule):
    """k / (k + e^{i/k}): one half at batch k log k, from about 1 to about 0."""

    def __init__(self, k: float) -> None:
        if not k >= 1:
            raise ValueError(f"k must be at least 1, got {k}")
        self.k = k

    def truth(self, step: int) -> float:
        """The probability at the batch of this number, counted from 0."""
        return 0.5 - 0.5 * math.tanh((step / self.k - math.log(self.k)) / 2)


class ScheduledSampling(Objective):
    """Other objectives, on inputs of which some are the model's own words in place of the true ones.

    Each word but the start is the truth with the schedule's probability, by a coin of its own; else one that the model
    draws where the truth would stand, without a gradient through the draw. An end that is drawn is not read: nothing
    follows an end later, either. Validation reads the truth.

    Args:
        objectives: what is worked out on these inputs.
        schedule: the truth's probability over the batches.
        passes: None draws word by word, each from what was read so far, as in the paper: T steps without gradient, for
            any decoder. A number draws all words at once, from the inputs of the pass before, so many times (1:
            Mihaylova and Martins 2019; more: Duckworth et al. 2019); as many passes as words come to the same as None.
            One lets a transformer draw in parallel, which a GPU has the better of; on a CPU a training step costs some
            1.4 times that of teacher forcing with one pass and 1.5 times word by word, for any decoder.
        likeliest: take the likeliest word in place of a draw.
    """

    step: Int[Tensor, ""]

    def __init__(
        self, objectives: list[Objective], schedule: Schedule, passes: int | None = None, likeliest: bool = False
    ) -> None:
        super().__init__()
        if not objectives:
            raise ValueError("objectives is empty: name one at least, such as captioning.objectives.CrossEntropy")
        if passes is not None and passes < 1:
            raise ValueError(f"passes must be at least 1, or null for word by word, got {passes}")
        self.objectives = nn.ModuleList(objectives)
        self.schedule = schedule
        self.passes = passes
        self.drawing = Sampling(top_k=int(likeliest))
        self.register_buffer("step", torch.zeros((), dtype=torch.long))
        self._truth = 1.0

    def prepare(self, records: Sequence[CaptionRecord]) -> None:
        """Let the objectives learn what they need to know."""
        for objective in self._each():
            objective.prepare(records)

    def forward(self, captions: Captions) -> dict[str, Float[Tensor, ""]]:
        """The terms of the objectives."""
        if self.training:
            self._truth = self.schedule.truth(int(self.step))
            self.step += 1
            if self._truth < 1:
                captions = replace(captions, inputs=self.mixed(captions, self._truth))
        terms: dict[str, Float[Tensor, ""]] = {}
        for objective in self._each():
            terms |= objective(captions)
        return terms

    def counted(self, captions: Captions) -> Mapping[str, Int[Tensor, ""]]:
        """What the objectives count."""
        return {name: count for objective in self._each() for name, count in objective.counted(captions).items()}

    def readings(self) -> Mapping[str, float]:
        """Those of the objectives, and how likely the truth is read."""
        inner = {name: value for objective in self._each() for name, value in objective.readings().items()}
        return inner | {"truth_read": self._truth}

    @torch.no_grad()
    def mixed(self, captions: Captions, truth: float) -> Int[Tensor, "B Q T"]:
        """The inputs, each of which is true with probability `truth`."""
        true = torch.rand(captions.inputs.shape, device=captions.inputs.device) < truth
        return self._word_by_word(captions, true) if self.passes is None else self._at_once(captions, true)

    def _word_by_word(self, captions: Captions, true: Bool[Tensor, "B Q T"]) -> Int[Tensor, "B Q T"]:
        inputs = captions.inputs
        state = captions.decoder.start(captions.features, inputs.shape[1])
        read = [inputs[..., 0]]
        for position in range(1, inputs.shape[-1]):
            step = captions.decoder.step(read[-1], state)
            state, drawn = step.state, self._draw(step.log_probs)
            read.append(inputs[..., position].where(true[..., position] | (drawn == END), drawn))
        return torch.stack(read, -1)

    def _at_once(self, captions: Captions, true: Bool[Tensor, "B Q T"]) -> Int[Tensor, "B Q T"]:
        inputs, keep = captions.inputs, captions.keep
        read = inputs
        for _ in range(self.passes or 0):
            output = captions.decoder(captions.features, read, keep)
            drawn = torch.full_like(inputs, PAD)
            drawn[keep] = self._draw(output.log_probs)
            drawn = torch.cat([inputs[..., :1], drawn[..., :-1]], -1)  # what is drawn at one word is read at the next
            true_here = true | ~keep | (drawn == END)
            true_here[..., 0] = True
            read = inputs.where(true_here, drawn)
        return read

    def _draw(self, log_probs: Float[Tensor, "*B V"]) -> Int[Tensor, "*B"]:
        never = torch.tensor(NEVER_WRITTEN, device=log_probs.device)
        return draw(log_probs.index_fill(-1, never, -torch.inf), self.drawing)

    def _each(self) -> Sequence[Objective]:
        return list(self.objectives)  # type: ignore[arg-type]
