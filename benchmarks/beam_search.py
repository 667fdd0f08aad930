"""Beam search: all pictures and all beams at once against one picture after the other."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.captioner import SIZES, decoder, features, floor
from benchmarks.timing import arguments, print_table
from captioning.decoders import Decoder
from common.errors import SaccadeError
from common.search import Hypothesis, Search, beam_search

# A fresh model finds all words about as likely, and rounding would choose among them; a trained one does not.
SHARPNESS = 10


def main(args: list[str] | None = None) -> None:
    """Compare the captions, then print the table."""
    sizes = arguments("Beam search of the captioner.", pictures=50, beam=5, **SIZES).parse_args(args)
    torch.manual_seed(0)
    captioner = decoder(sizes).eval()
    captioner.output.weight.data.mul_(SHARPNESS)
    model: Decoder[Any] = captioner
    visual = features(sizes.pictures, sizes)
    single = [visual.select(torch.tensor([index])) for index in range(sizes.pictures)]
    search = Search(sizes.beam, sizes.words)

    def one_by_one() -> list[list[Hypothesis]]:
        return [beam_search(model, picture, search)[0] for picture in single]

    def all_at_once() -> list[list[Hypothesis]]:
        return beam_search(model, visual, search)

    for index, (alone, together) in enumerate(zip(one_by_one(), all_at_once(), strict=True)):
        if alone[0].tokens != together[0].tokens:
            raise SaccadeError(f"picture {index}: the captions differ, {alone[0].tokens} alone, {together[0].tokens}")
    title = (
        f"Beam search: {sizes.pictures} pictures, beam {sizes.beam}, {sizes.words} words, {sizes.regions} regions x "
        f"{sizes.width}, vocabulary {sizes.vocabulary}, hidden {sizes.hidden}"
    )
    # One step more than words: the last chooses the end.
    least = floor(sizes.pictures, sizes.pictures * sizes.beam * (sizes.words + 1), sizes, train=False)
    print_table(
        title,
        "captions",
        sizes.pictures,
        sizes,
        least,
        {"one picture at a time": one_by_one, "all at once": all_at_once},
    )


if __name__ == "__main__":
    main()
