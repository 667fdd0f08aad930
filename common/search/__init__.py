"""Search for the likeliest sequences of words that a decoder can write, and draws of random ones."""

from common.search.beam import beam_search
from common.search.decoder import DecoderState, Source, Step, StepDecoder
from common.search.find import find
from common.search.hypotheses import Hypothesis
from common.search.sampling import Samples, sample
from common.search.settings import Diversity, Draws, Sampling, Search, Wording

__all__ = [
    "DecoderState",
    "Diversity",
    "Draws",
    "Hypothesis",
    "Samples",
    "Sampling",
    "Search",
    "Source",
    "Step",
    "StepDecoder",
    "Wording",
    "beam_search",
    "find",
    "sample",
]
