"""How a model's output becomes an answer: one of the known answers, or one of those on offer."""

from vqa.heads.base import AnswerHead, Ranked
from vqa.heads.choices import ChoiceHead
from vqa.heads.classes import ClassHead

__all__ = ["AnswerHead", "ChoiceHead", "ClassHead", "Ranked"]
