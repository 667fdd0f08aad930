"""Answers from the list of known answers, one output of the model for each."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from vqa.answers import AnswerVocabulary, normalise_answer
from vqa.data import VQABatch
from vqa.heads.base import RANKED, AnswerHead, Counted, Ranked, rank
from vqa.objectives import AnswerObjective
from vqa.questions import Question


class ClassHead(AnswerHead):
    """The model's outputs are the logits of the known answers.

    Where a question comes with choices, the answer is one of them: the others' logits are left out before they become
    probabilities. A choice that is no known answer has none; where that is so of all of them, they are equally likely.
    """

    def __init__(self, answers: list[str], objective: AnswerObjective) -> None:
        super().__init__()
        self.known = AnswerVocabulary(answers)
        self.width = len(answers)
        self.objective = objective

    def losses(self, output: Float[Tensor, "B Q A"], batch: VQABatch) -> dict[str, Float[Tensor, ""]]:
        """The objective's terms."""
        asked = batch.asked
        return self.objective(output[asked], batch.targets[asked], batch.votes[asked])

    def accuracy(self, output: Float[Tensor, "B Q A"], batch: VQABatch) -> Float[Tensor, ""]:
        """The mean score of the likeliest of all known answers, in percent: their accuracy, where so scored."""
        best = output.argmax(-1, keepdim=True)
        return 100 * batch.targets.gather(2, best).squeeze(2)[batch.asked].mean()

    def counted(self, batch: VQABatch) -> Counted:
        """The questions that the objective counts, and all that are asked."""
        asked = batch.asked
        return Counted(self.objective.counted(batch.targets[asked], batch.votes[asked]).sum(), asked.sum())

    def answers(self, output: Float[Tensor, "B Q A"], asked: Sequence[Sequence[Question]]) -> list[list[Ranked]]:
        """Of the choices where there are some, else of all known answers."""
        output = output.float()
        best = self.objective.probabilities(output).topk(min(RANKED, self.width), -1)
        indices, probabilities, output = best.indices.tolist(), best.values.tolist(), output.cpu()
        return [
            [
                self._chosen(output[row, column], question.choices)
                if question.choices
                else Ranked(
                    [
                        (self.known[index], probability)
                        for index, probability in zip(indices[row][column], probabilities[row][column], strict=True)
                    ]
                )
                for column, question in enumerate(questions)
            ]
            for row, questions in enumerate(asked)
        ]

    def _chosen(self, logits: Float[Tensor, " A"], choices: Sequence[str]) -> Ranked:
        classes = [self._class(choice) for choice in choices]
        known = [place for place, each in enumerate(classes) if each is not None]
        if not known:
            return Ranked(rank(choices, torch.full((len(choices),), 1 / len(choices))), (-math.inf,) * len(choices))
        probabilities, offered = torch.zeros(len(choices)), torch.full((len(choices),), -math.inf)
        offered[known] = logits[[classes[place] for place in known]]
        probabilities[known] = self.objective.probabilities(offered[known])
        return Ranked(rank(choices, probabilities), tuple(offered.tolist()))

    def _class(self, choice: str) -> int | None:
        """The number of the answer as it is written, or in VQA's normal form."""
        return self.known.index.get(choice, self.known.index.get(normalise_answer(choice)))
