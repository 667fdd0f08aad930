"""What a VQA model is trained for: each objective returns named loss terms of the answers' logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class AnswerObjective(nn.Module, ABC):
    """Loss terms of answer logits, and the probabilities that the logits then stand for."""

    @abstractmethod
    def forward(
        self,
        logits: Float[Tensor, "N A"],
        scores: Float[Tensor, "N A"],
        votes: Float[Tensor, "N A"],
        keep: Bool[Tensor, "N A"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """Scalars by name.

        scores: of the answers in 0..1, as VQA accuracy gives them. votes: the share of the annotators who gave each.
        Both are rows of zeros where no known answer is right.
        keep: which answers there are, where not all questions have the same choice; None for all. The logits of the
            others must leave them no probability.
        """

    def counted(self, scores: Float[Tensor, "N A"], votes: Float[Tensor, "N A"]) -> Bool[Tensor, " N"]:
        """The questions over which the terms are a mean: those with a known answer, unless told."""
        return votes.amax(-1) > 0

    def probabilities(self, logits: Float[Tensor, "*N A"]) -> Float[Tensor, "*N A"]:
        """Of each answer: a distribution over the answers, unless told."""
        return logits.softmax(-1)


class LabelCrossEntropy(AnswerObjective):
    """Cross-entropy with the most common answer; questions without a known answer do not count (Lu et al. 2016)."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    def forward(
        self,
        logits: Float[Tensor, "N A"],
        scores: Float[Tensor, "N A"],
        votes: Float[Tensor, "N A"],
        keep: Bool[Tensor, "N A"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """The scalar "cross_entropy" over the questions [N] with a known answer."""
        known = self.counted(scores, votes)
        costs = -logits.log_softmax(-1)
        per_question = costs.gather(1, votes.argmax(-1, keepdim=True)).squeeze(1)
        if self.label_smoothing:
            keep = torch.ones_like(costs, dtype=torch.bool) if keep is None else keep
            even = costs.where(keep, 0.0).sum(-1) / keep.sum(-1).clamp(min=1)
            per_question = torch.lerp(per_question, even, self.label_smoothing)
        return {"cross_entropy": _mean_of_known(per_question, known)}


class SoftCrossEntropy(AnswerObjective):
    """Cross-entropy with what the annotators said as a distribution, so that every one of them counts.

    of: "scores" brings the answers' VQA accuracies to a sum of one; "votes" the numbers of annotators, which makes it
        the mean of -log p over the annotators with a known answer (Kazemi and Elqursh 2017).
    """

    def __init__(self, of: Literal["scores", "votes"] = "scores") -> None:
        super().__init__()
        self.of = of

    def forward(
        self,
        logits: Float[Tensor, "N A"],
        scores: Float[Tensor, "N A"],
        votes: Float[Tensor, "N A"],
        keep: Bool[Tensor, "N A"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """The scalar "cross_entropy" over the questions [N] with a known answer."""
        return {"cross_entropy": _soft_cross_entropy(logits, scores if self.of == "scores" else votes)}

    def counted(self, scores: Float[Tensor, "N A"], votes: Float[Tensor, "N A"]) -> Bool[Tensor, " N"]:
        """The questions with a known answer."""
        return (scores if self.of == "scores" else votes).sum(-1) > 0


class SampledCrossEntropy(AnswerObjective):
    """Cross-entropy with the answer of one annotator, drawn anew at every visit among those whose answer is known
    (Yang et al. 2016, released code); its expected value, which is `SoftCrossEntropy` of the votes, in evaluation."""

    def forward(
        self,
        logits: Float[Tensor, "N A"],
        scores: Float[Tensor, "N A"],
        votes: Float[Tensor, "N A"],
        keep: Bool[Tensor, "N A"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """The scalar "cross_entropy" over the questions [N] with a known answer."""
        if not self.training or not len(votes):
            return {"cross_entropy": _soft_cross_entropy(logits, votes)}
        known = self.counted(scores, votes)
        drawn = torch.where(known.unsqueeze(-1), votes, 1.0).multinomial(1).squeeze(-1)
        per_question = nn.functional.cross_entropy(logits, drawn, reduction="none")
        return {"cross_entropy": _mean_of_known(per_question, known)}


class BinaryCrossEntropy(AnswerObjective):
    """Each answer is a question of its own, with its score for the probability of yes (Teney et al. 2018, section 3.6).

        - sum_a s_a log sigmoid(z_a) + (1 - s_a) log(1 - sigmoid(z_a))

    Questions without a known answer count: every answer is wrong there.

    reduction: over the questions: their "mean", as of bottom-up top-down and bilinear attention; or in training the
        "sum", as of MCAN's released code, which multiplies the gradient by the questions of a batch. Adam takes no
        notice of that. In evaluation it is the mean in any case, which does not depend on how batches are cut.
    """

    def __init__(self, reduction: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(
        self,
        logits: Float[Tensor, "N A"],
        scores: Float[Tensor, "N A"],
        votes: Float[Tensor, "N A"],
        keep: Bool[Tensor, "N A"] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """The scalar "binary_cross_entropy", a sum over the answers."""
        total = nn.functional.binary_cross_entropy_with_logits(logits, scores, reduction="sum")
        summed = self.reduction == "sum" and self.training
        return {"binary_cross_entropy": total if summed else total / max(len(logits), 1)}

    def counted(self, scores: Float[Tensor, "N A"], votes: Float[Tensor, "N A"]) -> Bool[Tensor, " N"]:
        """All."""
        return torch.ones_like(scores[:, 0], dtype=torch.bool)

    def probabilities(self, logits: Float[Tensor, "*N A"]) -> Float[Tensor, "*N A"]:
        """The score that each answer is expected to have; they do not compete, and need not sum to one."""
        return logits.sigmoid()


def _mean_of_known(per_question: Float[Tensor, " N"], known: Bool[Tensor, " N"]) -> Float[Tensor, ""]:
    """Mean over the questions with a known answer; 0 where there are none."""
    return (per_question * known).sum() / known.sum().clamp(min=1)


def _soft_cross_entropy(logits: Float[Tensor, "N A"], targets: Float[Tensor, "N A"]) -> Float[Tensor, ""]:
    """Mean over the questions whose targets are not all zero, brought to a sum of one."""
    total = targets.sum(-1, keepdim=True)
    share = targets / total.clamp(min=1e-6)
    return -(share * logits.log_softmax(-1)).sum() / (total > 0).sum().clamp(min=1)
