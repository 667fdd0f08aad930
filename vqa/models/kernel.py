"""Kernel ridge regression: what was answered to questions like this one, about pictures like this one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import normalize

from common.attention import VisualFeatures
from common.errors import ConfigError, DataError
from vqa.models.base import Lesson, VQAModel, VQAOutput

MOST = 20_000  # questions: each pair of them has a number in memory
ROWS = 256  # of the kernel that are worked out at once
LEAST = 1e-4  # of a deviation that is divided by, and of a score before its logarithm
MEMORY = ("phrases", "rarity", "mean", "deviation", "asked", "shares", "seen", "owner", "dual")

# question, place in `phrases` and share in p of each phrase that is known
Weighed: TypeAlias = tuple[Int[Tensor, " K"], Int[Tensor, " K"], Float[Tensor, " K"]]


class KernelRidge(VQAModel):
    """The question by the picture as a whole, without attention or epochs: a strong baseline where data are few.

        k(x, x') = (p p')^2 (1 + W v v'),  s = k(x, X) (k(X, X) + ridge I)^-1 Y,  logits = log s + b

    over the training questions X and the scores Y of their answers; an s below 1e-4 counts as that much. p, of length
    one, has the question's words and its pairs of words at most `reach` apart, each once, weighed by the fourth root of
    log(questions / questions with it); v, of length one, the mean and the greatest value of each feature over the
    regions, each brought to mean 0 and variance 1 over the training pictures. So k is linear in all products of two
    phrases, and of these with a feature of the picture.

    All of it is solved by `memorise`, before training, which only b is left for: with a learning rate of 0 it stays 0.

    Args:
        reach: words from the first of a pair to the second.
        pair_weight: of pairs against words.
        picture_weight: W, of the products with the picture against those without.
        ridge: the greater, the less is learned by heart.

    Raises:
        ConfigError: with these there may be no solution.
    """

    kind = "none"
    level_names = ()
    memorises = True

    phrases: Int[Tensor, " G"]  # in order
    rarity: Float[Tensor, " G"]
    mean: Float[Tensor, " F"]
    deviation: Float[Tensor, " F"]
    asked: Int[Tensor, "2 S"]  # question and place in `phrases` of each phrase asked with
    shares: Float[Tensor, " S"]  # of these, in p
    seen: Float[Tensor, "P F"]
    owner: Int[Tensor, " N"]  # the picture of each question
    dual: Float[Tensor, "N A"]

    def __init__(
        self,
        answers: int,
        vocabulary_size: int,
        reach: int = 4,
        pair_weight: float = 0.7,
        picture_weight: float = 8.0,
        ridge: float = 14.0,
    ) -> None:
        super().__init__()
        if not (ridge > 0 and min(reach, pair_weight, picture_weight) >= 0):
            raise ConfigError(
                "ridge must be above 0, and reach, pair_weight and picture_weight not below it, not "
                f"{ridge}, {reach}, {pair_weight}, {picture_weight}"
            )
        self.vocabulary_size, self.reach = vocabulary_size, reach
        self.pair_weight, self.picture_weight, self.ridge = pair_weight, picture_weight, ridge
        self.bias = nn.Parameter(torch.zeros(answers))

    def get_extra_state(self) -> dict[str, Tensor]:
        """The memory, whose size depends on the data; nothing before there is one."""
        return {name: getattr(self, name) for name in MEMORY if hasattr(self, name)}

    def set_extra_state(self, state: Any) -> None:
        """Take over a memory."""
        for name in MEMORY if state else ():
            self._keep(name, state[name])

    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] for the questions [B Q T] about each picture; b alone where nothing is memorised."""
        if not hasattr(self, "dual"):
            return VQAOutput(self.bias.expand(*keep.shape[:2], -1))
        with torch.no_grad(), torch.autocast(keep.device.type, enabled=False):
            asked = self._weighed(self._phrases(tokens.flatten(0, 1), keep.flatten(0, 1)))
            looks = self._standard(pooled(features)).repeat_interleave(keep.shape[1], 0)  # [B*Q F]
            scores = self._kernel(asked, looks) @ self.dual
        return VQAOutput(scores.clamp(min=LEAST).log().unflatten(0, keep.shape[:2]) + self.bias)

    @torch.no_grad()
    def memorise(self, lessons: Iterable[Lesson]) -> None:
        """Solve for what each training question with a known answer adds.

        Raises:
            DataError: there is none, or more of them than a number for each pair has room.
        """
        pictures: list[Tensor] = []
        owners: list[Tensor] = []
        phrases: list[Tensor] = []
        scores: list[Tensor] = []
        questions = 0
        for lesson in lessons:
            row, column = (lesson.scores.amax(-1) > 0).nonzero(as_tuple=True)
            owners.append(row + sum(len(each) for each in pictures))
            pictures.append(pooled(lesson.features))
            asked, phrase = self._phrases(lesson.tokens[row, column], lesson.keep[row, column])
            phrases.append(torch.stack([asked + questions, phrase]))
            scores.append(lesson.scores[row, column])
            questions += len(row)
            if questions > MOST:
                raise DataError(
                    f"kernel ridge regression has room for {MOST:,} training questions, not for more: give it fewer, "
                    "or train another model"
                )
        if not questions:
            raise DataError(
                "kernel ridge regression has no training question with a known answer: give it one at least"
            )
        self._count(torch.cat(phrases, 1), questions)
        self._look(torch.cat(pictures), torch.cat(owners))
        self._solve(torch.cat(scores))

    def _keep(self, name: str, value: Tensor) -> None:
        self.register_buffer(name, value.to(self.bias.device), persistent=False)

    def _phrases(self, tokens: Int[Tensor, "N T"], keep: Bool[Tensor, "N T"]) -> Int[Tensor, "2 S"]:
        """The words and pairs of words of each question, once: the question, and a number for what it has."""
        size = self.vocabulary_size
        found = [torch.where(keep, tokens, -1)]
        for apart in range(1, min(self.reach, tokens.shape[1] - 1) + 1):
            pair = size * (1 + tokens[:, :-apart]) + tokens[:, apart:]
            found.append(torch.where(keep[:, apart:], pair, -1))
        numbers = torch.cat(found, 1)  # [N S']
        row, column = (numbers >= 0).nonzero(as_tuple=True)
        most = size * (size + 1)
        once = (row * most + numbers[row, column]).unique()
        return torch.stack([once.div(most, rounding_mode="floor"), once % most])

    def _count(self, asked: Int[Tensor, "2 S"], questions: int) -> None:
        """Learn how rare each phrase is, and keep those of all questions."""
        phrases, counts = asked[1].unique(return_counts=True)
        rarity = (questions / counts.to(self.bias.dtype)).log().sqrt().sqrt()
        self._keep("phrases", phrases)
        self._keep("rarity", torch.where(phrases < self.vocabulary_size, rarity, self.pair_weight * rarity))
        row, place, share = self._weighed(asked)
        self._keep("asked", torch.stack([row, place]))
        self._keep("shares", share)

    def _weighed(self, asked: Int[Tensor, "2 S"]) -> Weighed:
        """Those that are known of the phrases that each question was asked with."""
        place = torch.searchsorted(self.phrases, asked[1].contiguous()).clamp(max=len(self.phrases) - 1)
        known = self.phrases[place] == asked[1]
        row, place = asked[0, known], place[known]
        weight = self.rarity[place]
        length = weight.new_zeros(int(row.max()) + 1 if len(row) else 0).index_add(0, row, weight.square()).sqrt()
        return row, place, weight / length[row].clamp(min=LEAST)

    def _look(self, pictures: Float[Tensor, "P F"], owner: Int[Tensor, " N"]) -> None:
        """Keep what the pictures look like."""
        self._keep("mean", pictures.mean(0))
        self._keep("deviation", pictures.std(0, unbiased=False) + LEAST)
        self._keep("seen", self._standard(pictures))
        self._keep("owner", owner)

    def _standard(self, pictures: Float[Tensor, "B F"]) -> Float[Tensor, "B F"]:
        """v of each picture."""
        halves = ((pictures - self.mean) / self.deviation).unflatten(1, (2, -1))
        return normalize(halves, dim=-1).flatten(1) / 2**0.5

    def _kernel(self, asked: Weighed, pictures: Float[Tensor, "M F"]) -> Float[Tensor, "M N"]:
        """k of M questions, each with its picture, and those in memory."""
        row, place, share = asked
        questions = share.new_zeros(len(self.phrases), len(pictures))
        questions[place, row] = share
        size = len(self.owner), len(self.phrases)
        rows = torch.sparse_coo_tensor(self.asked, self.shares, size, check_invariants=True)
        alike = torch.sparse.mm(rows, questions).T
        return alike.square() * (1 + self.picture_weight * (pictures @ self.seen.T)[:, self.owner])

    def _solve(self, scores: Float[Tensor, "N A"]) -> None:
        rows = []
        for part in torch.arange(len(scores), device=scores.device).split(ROWS):
            mine = (self.asked[0] >= part[0]) & (self.asked[0] <= part[-1])
            row, place = self.asked[:, mine]
            rows.append(self._kernel((row - part[0], place, self.shares[mine]), self.seen[self.owner[part]]))
        kernel = torch.cat(rows)
        kernel.diagonal().add_(self.ridge)
        self._keep("dual", torch.cholesky_solve(scores, torch.linalg.cholesky(kernel)))


def pooled(features: VisualFeatures) -> Float[Tensor, "B F"]:
    """Mean and greatest value of each feature over the regions of each picture; zero where it has none."""
    greatest = features.values.masked_fill(~features.keep.unsqueeze(-1), -torch.inf).amax(1)
    return torch.cat([features.mean(), greatest.where(features.keep.any(1, keepdim=True), 0)], -1)
