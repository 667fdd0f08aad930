"""Beam search: all pictures and all beams at once against one picture after the other, and as it is usually written.

Ours multiplies by oneDNN (`fast_products`), with which what is usually written is measured, too. A second table shows
what a transformer gains by keeping what it has worked out of the words before.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from benchmarks.captioner import SIZES, decoder, features, floor
from benchmarks.straightforward import StepByStep
from benchmarks.timing import Floor, arguments, print_table
from captioning.decoders import TransformerDecoder
from captioning.decoders.transformer import TransformerState
from common.attention import VisualFeatures
from common.errors import SaccadeError
from common.products import fast_products
from common.search import Search, Step, StepDecoder, beam_search

# A fresh model finds all words about as likely, and rounding would choose among them; a trained one does not.
SHARPNESS = 10
LAYERS = 3  # of the transformer
PRECISIONS = ("fp32", "medium", "bf16")


class Words(NamedTuple):
    """All words so far, and the transformer before any of them."""

    words: Int[Tensor, "B Q T"]
    begun: TransformerState

    def reorder(self, parents: Int[Tensor, "B Q"]) -> Words:
        """The state whose sequence q continues sequence parents[q] of its picture."""
        index = parents.unsqueeze(-1).expand(-1, -1, self.words.shape[-1])
        return Words(self.words.gather(1, index), self.begun.reorder(parents))


class Recomputing:
    """A transformer that reads all words so far anew at each step, but for the regions."""

    def __init__(self, transformer: TransformerDecoder) -> None:
        self.transformer = transformer

    def start(self, features: VisualFeatures, sequences: int = 1) -> Words:
        """No words yet."""
        nothing = torch.zeros(len(features.keep), sequences, 0, dtype=torch.int64)
        return Words(nothing, self.transformer.start(features, sequences))

    def step(self, tokens: Int[Tensor, "B Q"], state: Words) -> Step[Words]:
        """Log-probabilities [B Q V] of the next word after `tokens`."""
        words = torch.cat([state.words, tokens.unsqueeze(-1)], -1)
        read, _, attention = self.transformer._advance(words, state.begun)
        weights = attention.weights.unflatten(1, words.shape[1:])[:, :, -1]
        return Step(
            self.transformer._log_probs(read[:, :, -1]),
            state._replace(words=words),
            attention._replace(weights=weights, parts=None),
        )


def ways_to_search(sizes: Namespace, visual: VisualFeatures) -> dict[str, Callable[[], list[list[int]]]]:
    """Show, Attend and Tell: ways to the same captions, and greedy search beside them."""
    model = decoder(sizes).eval()
    model.output.weight.data.mul_(SHARPNESS)
    single = [visual.select(torch.tensor([index])) for index in range(sizes.pictures)]
    straightforward = StepByStep(model, sizes)

    def step_by_step() -> list[list[int]]:
        return [straightforward.write(picture) for picture in single]

    return {
        "step by step": step_by_step,
        "step by step, oneDNN": fast_products()(step_by_step),
        "one picture at a time": lambda: [best(model, picture, sizes.beam, sizes)[0] for picture in single],
        "all at once": lambda: best(model, visual, sizes.beam, sizes),
        "greedy": lambda: best(model, visual, 1, sizes),
    }


def ways_to_remember(sizes: Namespace, visual: VisualFeatures) -> dict[str, Callable[[], list[list[int]]]]:
    """The transformer, reading the words before anew or keeping what was worked out of them."""
    model = TransformerDecoder(sizes.vocabulary, sizes.width, sizes.hidden, heads=8, layers=LAYERS, dropout=0.0).eval()
    model.output.weight.data.mul_(SHARPNESS)
    anew = Recomputing(model)
    return {
        "reading anew": lambda: best(anew, visual, sizes.beam, sizes),
        "incremental": lambda: best(model, visual, sizes.beam, sizes),
        "greedy, reading anew": lambda: best(anew, visual, 1, sizes),
        "greedy, incremental": lambda: best(model, visual, 1, sizes),
    }


def transformer_floor(pictures: int, sizes: Namespace) -> Floor:
    """The arithmetic of the incremental beam search."""
    dim, regions, words = sizes.hidden, sizes.regions, sizes.beam * sizes.words + 1  # words of a picture
    encoder = regions * (sizes.width * dim + LAYERS * (12 * dim + 2 * regions) * dim)  # queries, keys, ..., looks
    projected = LAYERS * regions * 2 * dim * dim
    each_word = LAYERS * (4 + 2 + 8) * dim * dim + LAYERS * 2 * regions * dim + sizes.vocabulary * dim
    return Floor(products=2 * pictures * (encoder + projected + words * each_word), tanh=0)


def best(model: StepDecoder[Any, Any], visual: VisualFeatures, beam: int, sizes: Namespace) -> list[list[int]]:
    """The words of the best caption of each picture."""
    return [found[0].tokens for found in beam_search(model, visual, Search(beam, sizes.words))]


def check(ways: dict[str, Callable[[], list[list[int]]]], same: Sequence[str]) -> None:
    """See that ways find the same captions.

    Raises:
        SaccadeError: they do not.
    """
    first, *others = (ways[name]() for name in same)
    for name, found in zip(same[1:], others, strict=True):
        for index, (one, other) in enumerate(zip(first, found, strict=True)):
            if one != other:
                raise SaccadeError(f"picture {index}: the captions differ, {one} {same[0]}, {other} {name}")


def in_precision(precision: str, way: Callable[[], object]) -> object:
    """Run with autocast where that is asked for."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        return way()


def main(args: list[str] | None = None) -> None:
    """Compare the captions, then print the tables."""
    sizes_and_more = {"pictures": 50, "beam": 5, "transformed": 8, **SIZES}
    parser = arguments("Beam search of the captioner.", **sizes_and_more)
    parser.add_argument(
        "--precision", choices=PRECISIONS, default="fp32", help="medium: matrix products by oneDNN; bf16: autocast"
    )
    sizes = parser.parse_args(args)
    torch.manual_seed(0)
    visual = features(sizes.pictures, sizes)
    few = visual.select(torch.arange(min(sizes.transformed, sizes.pictures)))
    searching, remembering = ways_to_search(sizes, visual), ways_to_remember(sizes, few)
    check(searching, ("step by step", "step by step, oneDNN", "one picture at a time", "all at once"))
    check(remembering, ("reading anew", "incremental"))
    if sizes.precision == "medium":
        torch.set_float32_matmul_precision("medium")
    title = (
        f"{sizes.precision}, beam {sizes.beam}, {sizes.words} words, {sizes.regions} regions x {sizes.width}, "
        f"vocabulary {sizes.vocabulary}, hidden {sizes.hidden}"
    )
    # At the first step all beams are one; one step more than words: the last chooses the end.
    least = floor(sizes.pictures, sizes.pictures * (sizes.beam * sizes.words + 1), sizes, train=False)
    for name, pictures, floor_of_it, ways in (
        ("Beam search", sizes.pictures, least, searching),
        ("Beam search of a transformer", len(few.keep), transformer_floor(len(few.keep), sizes), remembering),
    ):
        timed = {name: partial(in_precision, sizes.precision, way) for name, way in ways.items()}
        print_table(f"{name}: {pictures} pictures, {title}", "captions", pictures, sizes, floor_of_it, timed)
        print()


if __name__ == "__main__":
    main()
