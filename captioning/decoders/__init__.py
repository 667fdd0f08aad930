"""Caption decoders."""

from captioning.decoders.adaptive import AdaptiveAttention
from captioning.decoders.base import AttentionFactory, Decoder, TeacherForced
from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.decoders.transformer import TransformerDecoder

__all__ = [
    "AdaptiveAttention",
    "AttentionFactory",
    "Decoder",
    "ShowAttendTell",
    "TeacherForced",
    "TransformerDecoder",
]
