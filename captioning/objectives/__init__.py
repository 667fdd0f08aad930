"""What a captioner is trained for."""

from captioning.objectives.attention import DoublyStochastic, Redundancy
from captioning.objectives.base import Captions, Objective
from captioning.objectives.grounding import SupervisedAttention
from captioning.objectives.hard import HardAttentionReinforce
from captioning.objectives.likelihood import CrossEntropy

__all__ = [
    "Captions",
    "CrossEntropy",
    "DoublyStochastic",
    "HardAttentionReinforce",
    "Objective",
    "Redundancy",
    "SupervisedAttention",
]
