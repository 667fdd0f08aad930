"""VQA models."""

from vqa.models.base import VQAModel, VQAOutput
from vqa.models.hierarchical import CoAttentionFactory, HierarchicalCoAttention, QuestionOnly

__all__ = ["CoAttentionFactory", "HierarchicalCoAttention", "QuestionOnly", "VQAModel", "VQAOutput"]
