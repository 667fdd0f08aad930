"""Several models that answer together, as the scripts use them; one alone answers as it is."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from common.attention import VisualFeatures
from common.data.batches import ImageBatch
from common.data.records import Prediction
from common.errors import CheckpointError, ConfigError, DataError
from common.training.checkpoints import load_module
from common.training.sharing import is_first
from vqa.data import VQABatch
from vqa.heads import ClassHead, Ranked
from vqa.heads.base import rank
from vqa.metrics.wups import Similarity, Wups
from vqa.module import VQAModule, as_prediction
from vqa.objectives import LabelCrossEntropy
from vqa.questions import Question

Measure = Literal["accuracy", "0.9", "0.0"]  # what an answer may be expected to gain; numbers are thresholds of WUPS


class VQAEnsemble:
    """Answers by the mean of the members' probabilities; those of sigmoids are brought to a sum of one first.

    Members may differ in all but their known answers. Where there are several, no maps are told: what one member sees
    in a region is not what moved another.

    gains: what each known answer (row) is worth where each (column) is true. An answer is then the one that is expected
        to be worth most, and its score is what it is expected to be worth; None takes the likeliest.
    weights: how much each member counts in the mean; None lets all count the same.

    Raises:
        ConfigError: the weights are none of a mean.
    """

    def __init__(
        self,
        members: Sequence[VQAModule],
        gains: Float[Tensor, "A A"] | None = None,
        weights: Sequence[float] | None = None,
    ) -> None:
        weights = weights or [1.0] * len(members)
        if len(weights) != len(members):
            raise ConfigError(f"as many weights as models are wanted, {len(members)}, not {len(weights)}")
        if not (min(weights) >= 0 and 0 < sum(weights) < math.inf):
            raise ConfigError(f"weights must not be negative, and one of them above 0, not {weights}")
        self.members = list(members)
        self.gains = gains
        self.device = members[0].device
        self.shares = [weight / sum(weights) for weight in weights]
        self._head = ClassHead(members[0].answers, LabelCrossEntropy())

    @torch.no_grad()
    def answer(
        self, visuals: Sequence[ImageBatch | VisualFeatures], questions: Sequence[Sequence[Question | str]]
    ) -> list[list[Prediction]]:
        """Answers to the questions about each picture, each member given it as its encoder wants it.

        Raises:
            DataError: a question has no words; or choices, where gains are told.
        """
        if len(self.members) == 1 and self.gains is None:
            return self.members[0].answer(visuals[0], questions)
        asked = self.members[0].checked(questions)
        if self.gains is not None:
            _check_without_choices(asked)
        mean = torch.stack(
            [
                share * _probabilities(each, visual, asked)
                for share, each, visual in zip(self.shares, self.members, visuals, strict=True)
            ]
        ).sum(0)
        if self.gains is not None:
            worth = (mean @ self.gains.to(mean.device).T).cpu()  # [B Q A]
            return [
                [
                    as_prediction(Ranked(rank(self.members[0].answers, worth[row, column])), {})
                    for column in range(len(each))
                ]
                for row, each in enumerate(asked)
            ]
        answers = self._head.answers(mean.clamp(min=torch.finfo(mean.dtype).tiny).log(), asked)
        return [[as_prediction(each, {}) for each in row] for row in answers]


def answer_together(ensemble: VQAEnsemble, loaders: Sequence[Iterable[VQABatch]]) -> dict[int | str, Prediction]:
    """An answer to each question by question id; each member has a loader of its own of the same questions."""
    predictions: dict[int | str, Prediction] = {}
    progress = tqdm(loaders[0], desc="answers", unit="batch", disable=not is_first())
    for batches in zip(progress, *loaders[1:], strict=True):
        asked = [[Question.of(record) for record in records] for records in batches[0].records]
        found = ensemble.answer([batch.visual.to(ensemble.device) for batch in batches], asked)
        for records, answers in zip(batches[0].records, found, strict=True):
            predictions.update({record.question_id: each for record, each in zip(records, answers, strict=True)})
    return predictions


def expected_gains(
    answers: Sequence[str], similarity: Similarity | None, weights: Mapping[Measure, float]
) -> Float[Tensor, "A A"]:
    """Gains in 0..1 for an ensemble that gives the answer of the greatest expected score (minimum Bayes risk), the mean
    of some measures by their weights: WUPS at 0.9 or 0.0 has it say "chair" where it is a chair, a sofa or a bench,
    though each of these is less likely than "lamp"; with accuracy besides, it stays with the likeliest unless others
    are nearly as likely.

    Raises:
        ConfigError: a measure is WUPS, and there are no similarities.
    """
    gains = torch.zeros(len(answers), len(answers))
    for measure, weight in weights.items():
        if measure == "accuracy":
            gains += weight * torch.eye(len(answers))
        elif similarity is None:
            raise ConfigError(f"--expect {measure} reckons with WUPS: give --similarity as well")
        else:
            gains += weight * torch.from_numpy(Wups(similarity, float(measure)).of_each(answers, answers))
    return gains / sum(weights.values())


def weighed_measures(given: Sequence[str]) -> dict[Measure, float]:
    """Measures and their weights as a command line has them: "accuracy=16" "0.0", where none stands for 1.

    Raises:
        ConfigError: there is no such measure, it is named twice, or its weight is not a number above 0.
    """
    weights: dict[Measure, float] = {}
    for text in given:
        name, weighed, weight = text.partition("=")
        measure = next((each for each in get_args(Measure) if each == name), None)
        if measure is None:
            raise ConfigError(f"--expect {text}: {name!r} is none of {', '.join(get_args(Measure))}")
        if measure in weights:
            raise ConfigError(f"--expect names {name} twice: give it a weight, such as {name}=2")
        try:
            weights[measure] = float(weight) if weighed else 1.0
        except ValueError:
            weights[measure] = math.nan
        if not 0 < weights[measure] < math.inf:
            raise ConfigError(f"--expect {text}: a weight is a number above 0, as in {name}=2")
    return weights


def load_members(paths: Sequence[str], device: torch.device, classes: bool | None = None) -> list[VQAModule]:
    """The models of several checkpoints, which can answer together.

    classes: whether they must choose among known answers; None: where there are several.

    Raises:
        CheckpointError: one cannot be used; or they know different answers, or one writes its answers and must not.
    """
    classes = len(paths) > 1 if classes is None else classes
    members = [load_module(path, VQAModule).to(device) for path in paths]
    for path, member in zip(paths, members, strict=True):
        if classes and not isinstance(member.head, ClassHead):
            raise CheckpointError(
                f"{path} does not choose among known answers, which several models, and --expect, need"
            )
        if member.answers != members[0].answers:
            raise CheckpointError(f"{path} knows other answers than {paths[0]}: models answer together from one list")
    return members


def _check_without_choices(asked: Sequence[Sequence[Question]]) -> None:
    """Raise DataError where a question comes with choices, among which gains of all known answers do not choose."""
    for question in (each for row in asked for each in row):
        if question.choices:
            raise DataError(
                f"--expect chooses among all known answers, and {question.text!r} has choices: leave it out"
            )


def _probabilities(
    member: VQAModule, visual: ImageBatch | VisualFeatures, asked: Sequence[Sequence[Question]]
) -> Float[Tensor, "B Q A"]:
    """A member's distribution over the known answers."""
    assert isinstance(member.head, ClassHead)
    logits = member.look(visual, asked)[0].logits.float() / member.temperature
    probabilities = member.head.objective.probabilities(logits)
    return probabilities / probabilities.sum(-1, keepdim=True)
