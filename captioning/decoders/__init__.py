"""Caption decoders."""

from captioning.decoders.adaptive import AdaptiveAttention
from captioning.decoders.aoa_net import AoANet
from captioning.decoders.base import AttentionFactory, Decoder, TeacherForced
from captioning.decoders.bottom_up_top_down import BottomUpTopDown
from captioning.decoders.recurrent import RecurrentDecoder
from captioning.decoders.show_attend_tell import ShowAttendTell
from captioning.decoders.transformer import TransformerDecoder

__all__ = [
    "AdaptiveAttention",
    "AoANet",
    "AttentionFactory",
    "BottomUpTopDown",
    "Decoder",
    "RecurrentDecoder",
    "ShowAttendTell",
    "TeacherForced",
    "TransformerDecoder",
]
