"""Training by reward: captions of the model's own become likelier the more they are worth (Rennie et al. 2017)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from captioning.objectives.base import Captions, Objective
from captioning.objectives.collapse import CollapseWatch, Signs
from captioning.rewards import CiderDReward, Reward
from common.data.records import CaptionRecord
from common.data.tokenizer import tokenize
from common.data.vocabulary import END, PAD, START, Vocabulary
from common.errors import ConfigError, DataError
from common.search import Sampling, Search, beam_search, sample
from common.search.constraints import NEVER_WRITTEN

logger = logging.getLogger(__name__)
Baseline = Literal["greedy", "leave-one-out", "beam"]


class Written(NamedTuple):
    """Captions of the model's own: words, then END if they finished, then PAD; `keep` marks the words and the END."""

    tokens: Int[Tensor, "B Q T"]
    keep: Bool[Tensor, "B Q T"]


class SelfCritical(Objective):
    """REINFORCE on whole captions w that the model writes itself, r their reward:

        -weight sum_q (r(w_q) - b_q) sum_t log p(w_qt) / (number of words and ends in the batch)

    baseline, b:
        "greedy": the reward of the greedy caption, which the test would write (Rennie et al. 2017).
        "leave-one-out": the mean reward of the picture's other samples (Luo 2020), the least noisy without more work.
        "beam": the captions are not drawn but those of a beam search, and b is the mean of all (Anderson et al. 2018,
            Cornia et al. 2020): not the gradient of the expected reward, but of what the search will find.

    p is softmax(log p / temperature) over the words that are ever written. A caption of `longest` words is cut off
    there: it has no END, and loses what n-grams with the end are worth. Features are worked out once per picture;
    captions are written without gradient, and run through the decoder once more in parallel for it. Validation has no
    such term: CIDEr-D is there.

    It is for a model that can write already: begin with the weights of a training with cross-entropy (`start_from`).

    Args:
        samples: captions that are written for each picture.
        rewards: added up, each with its weight; CIDEr-D if None.
        longest: see above; about the length of the references, as for the search.
        temperature: of p, from which words are drawn. A model of smoothed labels gives every word a part of p: below 1
            its captions are not strewn with words that mean nothing, and there is more to learn from.
        dropout: of the decoder while it writes and learns. The masks differ between the two, so that the estimate is no
            longer that of any one gradient; without it is unbiased. (The greedy baseline never has any.)
        window: batches over which signs of collapse are looked for.

    Raises:
        ConfigError: too few samples for the baseline.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        baseline: Baseline = "leave-one-out",
        samples: int = 5,
        rewards: list[Reward] | None = None,
        weight: float = 1.0,
        longest: int = 20,
        temperature: float = 1.0,
        dropout: bool = False,
        window: int = 50,
    ) -> None:
        super().__init__()
        if samples < (1 if baseline == "greedy" else 2):
            raise ConfigError(f"SelfCritical: {samples} samples are too few for the baseline {baseline!r}")
        self.vocabulary = vocabulary
        self.baseline = baseline
        self.samples = samples
        self.rewards = rewards or [CiderDReward()]
        self.weight = weight
        self.dropout = dropout
        self.sampling = Sampling(longest=longest, temperature=temperature)
        self._images: dict[int | str, int] = {}
        self._watch = CollapseWatch(window)
        self._readings: dict[str, float] = {}

    def prepare(self, records: Sequence[CaptionRecord]) -> None:
        """Count the references of the training split, as word ids with their END.

        Raises:
            DataError: a record has no caption.
        """
        references = [
            [[*self.vocabulary.encode(tokenize(caption)), END] for caption in record.captions] for record in records
        ]
        for reward in self.rewards:
            reward.prepare(references, self.vocabulary)
        self._images = {record.image_id: number for number, record in enumerate(records)}
        lengths = [len(text) - 1 for of_image in references for text in of_image]
        typical = sum(reward.weight * reward.typical for reward in self.rewards)
        self._watch.expect(reward=typical, words=sum(lengths) / len(lengths))

    def forward(self, captions: Captions) -> dict[str, Float[Tensor, ""]]:
        """The scalar "self_critical" in training, nothing in evaluation.

        Raises:
            DataError: a picture is not of the training split.
        """
        if not self.training:
            return {}
        decoder, features = captions.decoder, captions.features
        with torch.no_grad(), mode(decoder, self.dropout):
            written = self._write(captions)
        images = self._numbers(captions.records)
        rewards = self._rewards(images, written)  # [P B Q]
        reward = rewards.sum(0)
        baseline = self._baseline(captions, images, reward, written.keep.any(-1).cpu())
        inputs = torch.cat([torch.full_like(written.tokens[..., :1], START), written.tokens[..., :-1]], -1)
        with mode(decoder, self.dropout):
            log_probs = decoder(features, inputs, written.keep).log_probs  # [M V]
        chosen = _log_prob(log_probs, written.tokens[written.keep], self.sampling.temperature)
        advantage = (reward - baseline).to(chosen).unsqueeze(-1).expand(written.keep.shape)[written.keep]  # [M]
        self._look(rewards, baseline, written, log_probs.detach())
        return {"self_critical": -self.weight * (advantage * chosen).sum() / len(chosen)}

    def readings(self) -> Mapping[str, float]:
        """Rewards of the captions and of their baseline, how random, how long, and how often unfinished they are."""
        return self._readings

    def _write(self, captions: Captions) -> Written:
        if self.baseline == "beam":
            return self._search(captions)
        drawn = sample(captions.decoder, captions.features, self.samples, self.sampling)
        return cut_off(drawn.tokens, drawn.keep, self.sampling.longest)

    def _search(self, captions: Captions) -> Written:
        """The captions of a beam search; rows that are not valid where it found fewer."""
        longest = self.sampling.longest
        found = beam_search(captions.decoder, captions.features, Search(self.samples, longest, best=self.samples))
        shape = len(found), self.samples, max(len(each.tokens) for beams in found for each in beams) + 1
        tokens, keep = torch.full(shape, PAD), torch.zeros(shape, dtype=torch.bool)
        for row, beams in enumerate(found):
            for column, each in enumerate(beams):
                words = [*each.tokens, END]
                tokens[row, column, : len(words)] = torch.tensor(words)
                keep[row, column, : len(words)] = True
        device = captions.keep.device
        return cut_off(tokens.to(device), keep.to(device), longest)

    def _numbers(self, records: Sequence[CaptionRecord]) -> list[int]:
        """Of the pictures, among those of the training split."""
        try:
            return [self._images[record.image_id] for record in records]
        except KeyError as error:
            raise DataError(
                f"picture {error} is not of the training split, whose captions are what SelfCritical counts"
            ) from None

    def _rewards(self, images: Sequence[int], written: Written) -> Float[Tensor, "P B Q"]:
        """Each of the P rewards, weighted, of each caption: on the CPU, in float64."""
        lengths = written.keep.sum(-1).flatten().tolist()
        rows = zip(written.tokens.flatten(0, 1).tolist(), lengths, strict=True)
        texts = [tokens[:length] for tokens, length in rows]
        batch, several = written.keep.shape[:2]
        numbers = [image for image in images for _ in range(several)]
        scores = np.stack([reward.weight * reward.score(numbers, texts) for reward in self.rewards])
        return torch.from_numpy(scores).view(-1, batch, several)

    def _baseline(
        self, captions: Captions, images: Sequence[int], reward: Float[Tensor, "B Q"], there: Bool[Tensor, "B Q"]
    ) -> Float[Tensor, "B #Q"]:
        """What each caption's reward is held against."""
        if self.baseline == "greedy":
            with mode(captions.decoder, training=False):
                likeliest = Sampling(longest=self.sampling.longest, top_k=1)
                found = sample(captions.decoder, captions.features, 1, likeliest)
            return self._rewards(images, cut_off(found.tokens, found.keep, likeliest.longest)).sum(0)
        total = (reward * there).sum(-1, keepdim=True)
        if self.baseline == "beam":
            return total / there.sum(-1, keepdim=True).clamp(min=1)
        return (total - reward) / (self.samples - 1)

    def _look(
        self,
        rewards: Float[Tensor, "P B Q"],
        baseline: Float[Tensor, "B #Q"],
        written: Written,
        log_probs: Float[Tensor, "M V"],
    ) -> None:
        """Note what the batch shows, and tell a collapse."""
        there = written.keep.any(-1)  # [B Q]
        ended = written.keep & (written.tokens == END)
        shown = torch.stack(
            [
                torch.special.entr(log_probs.exp()).sum(-1).mean(),
                (written.keep & ~ended).sum() / there.sum(),
                1 - ended.sum() / there.sum(),
            ]
        )
        means = (rewards * there.cpu()).sum((1, 2)) / there.sum().item()  # [P]
        signs = Signs(means.sum().item(), baseline.mean().item(), *shown.tolist())
        names = ("reward", "baseline_reward", "word_entropy", "caption_length", "unfinished")
        self._readings = dict(zip(names, signs, strict=True))
        if len(self.rewards) > 1:
            parts = zip(self.rewards, means.tolist(), strict=True)
            self._readings |= {f"reward_{reward.name}": mean for reward, mean in parts}
        for line in self._watch.add(signs):
            logger.warning("%s", line)


def cut_off(tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"], longest: int) -> Written:
    """The captions without the end that the search gave to those of `longest` words, because it had to stop."""
    return Written(tokens[..., :longest], keep[..., :longest])


def _log_prob(log_probs: Float[Tensor, "M V"], words: Int[Tensor, " M"], temperature: float) -> Float[Tensor, " M"]:
    """Log-probabilities with which words are drawn from among those that are ever written."""
    logits = log_probs / temperature
    likely = logits.gather(1, words.unsqueeze(1)).squeeze(1)
    return likely - logits.index_fill(1, words.new_tensor(NEVER_WRITTEN), -torch.inf).logsumexp(1)


@contextmanager
def mode(module: nn.Module, training: bool) -> Iterator[None]:
    """The module in training or in evaluation mode, for a while."""
    before = module.training
    module.train(training)
    try:
        yield
    finally:
        module.train(before)
