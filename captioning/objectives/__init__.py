"""What a captioner is trained for."""

from captioning.objectives.attention import DoublyStochastic, Redundancy
from captioning.objectives.base import Captions, Objective
from captioning.objectives.grounding import SupervisedAttention
from captioning.objectives.hard import HardAttentionReinforce
from captioning.objectives.likelihood import CrossEntropy
from captioning.objectives.scheduled_sampling import (
    ExponentialDecay,
    InverseSigmoidDecay,
    LinearDecay,
    ScheduledSampling,
)
from captioning.objectives.self_critical import SelfCritical

__all__ = [
    "Captions",
    "CrossEntropy",
    "DoublyStochastic",
    "ExponentialDecay",
    "HardAttentionReinforce",
    "InverseSigmoidDecay",
    "LinearDecay",
    "Objective",
    "Redundancy",
    "ScheduledSampling",
    "SelfCritical",
    "SupervisedAttention",
]
