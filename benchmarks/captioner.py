"""The captioner that is timed: Show, Attend and Tell with additive soft attention, random weights, random regions."""

from __future__ import annotations

from argparse import Namespace

import torch

from benchmarks.timing import Floor
from captioning.decoders import ShowAttendTell
from common.attention import AdditiveScore, Attention, Grid, VisualFeatures

SIZES = {"regions": 196, "width": 512, "hidden": 512, "vocabulary": 10_000, "words": 20}


def decoder(sizes: Namespace) -> ShowAttendTell:
    """Without dropout, so that each way computes the same numbers."""
    return ShowAttendTell(
        sizes.vocabulary,
        sizes.width,
        lambda query_dim, key_dim: Attention(AdditiveScore(query_dim, key_dim, sizes.hidden)),
        embedding_dim=sizes.hidden,
        hidden_dim=sizes.hidden,
        dropout=0.0,
    )


def features(pictures: int, sizes: Namespace) -> VisualFeatures:
    """Regions [B R D], not negative, as a convolutional encoder gives them."""
    values = torch.randn(pictures, sizes.regions, sizes.width).relu()
    keep = torch.ones(values.shape[:2], dtype=torch.bool)
    return VisualFeatures(values, keep, Grid(1, sizes.regions, torch.zeros(pictures, 4)))


def floor(pictures: int, words: int, sizes: Namespace, train: bool) -> Floor:
    """The arithmetic and the memory traffic of so many words in all.

    A search reads keys and regions once for all sequences of a picture, and the parameters, at each step. In training
    backward takes two products for each forward, but the one for the gradient of the regions. What each word's look
    must move then: keys and regions come forward, the tanh goes; back come the regions, and the tanh for the gradient
    of the query and later for that of the keys. The optimiser reads four numbers for each parameter and writes three.
    """
    hidden, width = sizes.hidden, sizes.width
    gates = 4 * hidden * (hidden + width + hidden)  # of the word before, the context, the state
    output = hidden * (hidden + width + sizes.vocabulary)
    attention = hidden * hidden + sizes.regions * (hidden + width)  # query, logits, context
    each_word = words * (gates + output + attention)
    keys = pictures * sizes.regions * width * hidden
    multiplied = 3 * each_word + 2 * keys if train else each_word + keys
    parameters = gates + output + hidden * (hidden + width + sizes.vocabulary)
    if train:
        moved = words * sizes.regions * (4 * hidden + 2 * width) + 7 * parameters
    else:
        moved = (sizes.words + 1) * (pictures * sizes.regions * (hidden + width) + parameters)
    return Floor(products=2 * multiplied, tanh=words * sizes.regions * hidden, memory=4 * moved)
