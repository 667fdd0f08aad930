"""Answers from those on offer, each judged by its words."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from common.data.vocabulary import Vocabulary
from common.encoders import FactEncoder
from common.errors import DataError
from vqa.data import VQABatch
from vqa.heads.base import AnswerHead, Counted, Ranked, rank
from vqa.objectives import AnswerObjective
from vqa.questions import Choices, Encoding, Question, Texts

NEVER = -1e4  # the logit of a choice that is not there: finite, as zero times it must be zero


class ChoiceHead(AnswerHead):
    """Each choice is scored by how well its words fit the model's output z: z . c_k / sqrt(W), W the width of both.

    c_k is a bag of words with position encoding, see `FactEncoder`. So answers can be chosen that never came in
    training, as in the multiple choice of Visual7W (Zhu et al. 2016).

    Args:
        words: the vocabulary; the model works it out.
        dim: W.
        objective: over the choices of a question.
    """

    def __init__(self, words: Vocabulary, objective: AnswerObjective, dim: int = 512) -> None:
        super().__init__()
        self.width = dim
        self.encoding = Encoding(words)
        self.choices = FactEncoder(len(words), dim)
        self.objective = objective

    def losses(self, output: Float[Tensor, "B Q W"], batch: VQABatch) -> dict[str, Float[Tensor, ""]]:
        """The objective's terms over the choices; questions without choices do not count.

        Raises:
            DataError: no question of the batch has choices.
        """
        logits, offered = self._offered(output, batch)
        asked = offered.keep.any(-1)
        scores = offered.scores[asked]
        return self.objective(logits[asked], scores, scores, offered.keep[asked])

    def accuracy(self, output: Float[Tensor, "B Q W"], batch: VQABatch) -> Float[Tensor, ""]:
        """The mean score of the likeliest choices, in percent."""
        logits, offered = self._offered(output, batch)
        scores = offered.scores.gather(2, logits.argmax(-1, keepdim=True)).squeeze(2)
        return 100 * scores[offered.keep.any(-1)].mean()

    def counted(self, batch: VQABatch) -> Counted:
        """Of the questions with choices, those that the objective counts, and all.

        Raises:
            DataError: no question of the batch has choices.
        """
        offered = _offered(batch)
        asked = offered.keep.any(-1)
        scores = offered.scores[asked]
        return Counted(self.objective.counted(scores, scores).sum(), asked.sum())

    def answers(self, output: Float[Tensor, "B Q W"], asked: Sequence[Sequence[Question]]) -> list[list[Ranked]]:
        """Of the choices.

        Raises:
            DataError: a question has none.
        """
        for question in (each for row in asked for each in row):
            if not question.choices:
                raise DataError(f"{question.text!r} comes without choices, which this model chooses from: give some")
        texts = self.encoding.texts([[question.choices for question in row] for row in asked]).to(output.device)
        logits = self._score(output, texts).float().cpu()
        return [
            [self._ranked(question.choices, logits[row, column]) for column, question in enumerate(questions)]
            for row, questions in enumerate(asked)
        ]

    def _ranked(self, choices: Sequence[str], logits: Float[Tensor, " N"]) -> Ranked:
        offered = logits[: len(choices)]
        return Ranked(rank(choices, self.objective.probabilities(offered)), tuple(offered.tolist()))

    def _offered(self, output: Tensor, batch: VQABatch) -> tuple[Tensor, Choices]:
        """The choices and their logits [B Q N]."""
        offered = _offered(batch)
        return self._score(output, offered.texts).masked_fill(~offered.keep, NEVER), offered

    def _score(self, output: Float[Tensor, "B Q W"], texts: Texts) -> Float[Tensor, "B Q N"]:
        shape = texts.keep.shape[:2]
        choices = self.choices(texts.tokens.flatten(0, 1), texts.keep.flatten(0, 1)).values.unflatten(0, shape)
        return (choices @ output.unsqueeze(-1)).squeeze(-1) / self.width**0.5


def _offered(batch: VQABatch) -> Choices:
    if batch.choices is None:
        first = batch.records[0][0]
        raise DataError(
            f"no question of a batch, such as {first.question_id} ({first.question!r}), comes with choices, which this "
            "model chooses from: give each some, or leave out those without"
        )
    return batch.choices
