"""Caption decoders."""

from captioning.decoders.base import AttentionFactory, Decoder, DecoderState, Step, TeacherForced
from captioning.decoders.show_attend_tell import ShowAttendTell

__all__ = ["AttentionFactory", "Decoder", "DecoderState", "ShowAttendTell", "Step", "TeacherForced"]
