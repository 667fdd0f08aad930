"""How a model's output becomes an answer: a known one, one of those on offer, or one written."""

from vqa.heads.base import AnswerHead, Counted, Ranked
from vqa.heads.choices import ChoiceHead
from vqa.heads.classes import ClassHead
from vqa.heads.generated import GeneratedAnswer

__all__ = ["AnswerHead", "ChoiceHead", "ClassHead", "Counted", "GeneratedAnswer", "Ranked"]
