"""Captions as the settings want them, searched for or drawn."""

from __future__ import annotations

from common.data.vocabulary import Vocabulary
from common.search.beam import beam_search
from common.search.decoder import About, State, StepDecoder
from common.search.hypotheses import Hypothesis
from common.search.sampling import random_hypotheses
from common.search.settings import Draws, Search


def find(
    decoder: StepDecoder[About, State], features: About, search: Search | Draws, vocabulary: Vocabulary | None = None
) -> list[list[Hypothesis]]:
    """Captions of each picture, best first: see `beam_search` and `sample`."""
    if isinstance(search, Search):
        return beam_search(decoder, features, search, vocabulary)
    return random_hypotheses(decoder, features, search, vocabulary)
