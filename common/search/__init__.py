"""Search for the likeliest sequences of words that a decoder can write, and draws of random ones."""

from common.search.beam import Hypothesis, Search, beam_search
from common.search.decoder import DecoderState, Source, Step, StepDecoder
from common.search.sampling import Samples, Sampling, sample

__all__ = [
    "DecoderState",
    "Hypothesis",
    "Samples",
    "Sampling",
    "Search",
    "Source",
    "Step",
    "StepDecoder",
    "beam_search",
    "sample",
]
