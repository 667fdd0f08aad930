"""VQA models."""

from vqa.models.base import Lesson, VQAModel, VQAOutput
from vqa.models.baselines import ImageOnly, MeanPooled, QuestionOnly
from vqa.models.bottom_up import BottomUpTopDown
from vqa.models.co_attention import BilinearAttentionNetwork, ModularCoAttentionNetwork
from vqa.models.glimpses import ShowAskAttendAnswer
from vqa.models.hierarchical import CoAttentionFactory, HierarchicalCoAttention
from vqa.models.kernel import KernelRidge
from vqa.models.memory import FactMemory, StackedAttentionNetwork

__all__ = [
    "BilinearAttentionNetwork",
    "BottomUpTopDown",
    "CoAttentionFactory",
    "FactMemory",
    "HierarchicalCoAttention",
    "ImageOnly",
    "KernelRidge",
    "Lesson",
    "MeanPooled",
    "ModularCoAttentionNetwork",
    "QuestionOnly",
    "ShowAskAttendAnswer",
    "StackedAttentionNetwork",
    "VQAModel",
    "VQAOutput",
]
