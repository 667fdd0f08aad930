"""Every decoder learns from every objective, where the two go together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from captioning.objectives import (
    Captions,
    CrossEntropy,
    DoublyStochastic,
    HardAttentionReinforce,
    LinearDecay,
    Objective,
    Redundancy,
    ScheduledSampling,
    SelfCritical,
    SupervisedAttention,
)
from captioning.rewards import Bleu4Reward, CiderDReward, LengthReward, Reward, RougeLReward
from common.data.records import CaptionRecord, NamedBox
from common.data.vocabulary import SPECIALS, Vocabulary
from common.errors import ConfigError
from tests.captioning.decoders.cases import DECODERS, build, captions, pictures

WORDS = Vocabulary([*SPECIALS, "cube", "ball", "red", "by", "a"])
BOXES = (NamedBox((0.0, 0.0, 0.4, 0.6), "cube", ("red",)), NamedBox((0.5, 0.2, 1.0, 1.0), "ball"))
RECORDS = [
    CaptionRecord(Path(f"{number}.png"), number, ("a red cube by a ball", "a ball"), BOXES) for number in range(2)
]


class Sum(Reward):
    """Differs for almost any two captions."""

    name, typical = "sum", 0.0

    def prepare(self, references: Any, vocabulary: Any) -> None:
        """It has no use for them."""

    def score(self, images: Any, captions: Any) -> Any:
        return np.array([float(sum(word * (at + 1) for at, word in enumerate(text))) for text in captions])


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    "cross-entropy": lambda: CrossEntropy(0.1),
    "doubly stochastic": DoublyStochastic,
    "hard": HardAttentionReinforce,
    "redundancy": Redundancy,
    "supervised": lambda: SupervisedAttention(WORDS),
    "scheduled": lambda: ScheduledSampling([CrossEntropy()], LinearDecay(0.0, start=0.5)),
    "scheduled, one pass": lambda: ScheduledSampling([CrossEntropy()], LinearDecay(0.0, start=0.5), passes=1),
    "greedy": lambda: SelfCritical(
        WORDS, "greedy", 2, [CiderDReward(), RougeLReward(), LengthReward(0.1), Sum()], longest=5
    ),
    "leave-one-out": lambda: SelfCritical(WORDS, rewards=[Bleu4Reward(), Sum()], longest=5, dropout=True),
    "beam": lambda: SelfCritical(WORDS, "beam", 3, [Sum()], longest=5),
}
NEEDS = {"hard": "hard attention", "redundancy": "attention with parts"}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("decoder", DECODERS)
def test_a_decoder_learns_from_an_objective_or_says_what_it_lacks(decoder: str, objective: str) -> None:
    made, goal, features = build(decoder).train(), OBJECTIVES[objective](), pictures()
    made.output.weight.data.mul_(0.3)  # type: ignore[operator,union-attr]  # or all draws are the likeliest captions
    tokens, keep = captions(length=6)
    goal.prepare(RECORDS)
    batch = Captions(made, features, tokens[..., :-1], tokens[..., 1:], keep[..., 1:], RECORDS)
    if not fits(made, objective, batch):
        with pytest.raises(ConfigError, match=NEEDS[objective]):
            goal(batch)
        return
    terms = goal(batch)
    torch.stack(list(terms.values())).sum().backward()
    gradients = [each.grad for each in made.parameters() if each.grad is not None]
    assert all(each.isfinite().all() for each in gradients)
    assert any(each.any() for each in gradients)
    assert made.training


@pytest.mark.parametrize("objective", ["cross-entropy", "doubly stochastic", "redundancy", "supervised", "scheduled"])
def test_the_means_of_batches_by_what_they_count_make_the_mean_of_all(objective: str) -> None:
    made, goal, features = build("attention on attention"), OBJECTIVES[objective]().eval(), pictures()
    goal.prepare(RECORDS)
    tokens, keep = captions(length=6)
    keep[0, 1:] = False  # one caption here, three there, of which two name what is in the picture
    tokens[:, 0, 1], tokens[1, 1, 2], keep[:, :2, :3] = *WORDS.encode(["cube", "ball"]), True
    keep[0, 1] = False

    def part(rows: list[int]) -> Captions:
        words, valid = tokens[rows], keep[rows]
        chosen = features.select(torch.tensor(rows))
        return Captions(made, chosen, words[..., :-1], words[..., 1:], valid[..., 1:], [RECORDS[row] for row in rows])

    parts = [part([0]), part([1])]
    for name, together in goal(part([0, 1])).items():
        counts = [goal.counted(each)[name] for each in parts]
        assert counts[0] < counts[1]
        total = sum(goal(each)[name] * count for each, count in zip(parts, counts, strict=True))
        torch.testing.assert_close(total / goal.counted(part([0, 1]))[name], together)


def fits(decoder: torch.nn.Module, objective: str, batch: Captions) -> bool:
    if objective == "hard":
        return batch.output.attention_log_prob is not None
    return objective != "redundancy" or batch.output.parts is not None
