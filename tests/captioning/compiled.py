"""Compiles decoders and exports a whole captioner; a program of its own, because shapes that are checked at every call,
as in the tests, cannot be compiled.

How many words are valid is only known when they are there (`keep` picks them out); what is compiled and exported leaves
that open, and is held to other captions than those with which it was made.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captioning.data import CaptionBatch
from captioning.module import CaptioningModule
from common.data.batches import ImageBatch
from tests.captioning import recipes
from tests.captioning.decoders.cases import WORDS, build, captions, pictures

COMPILED = (  # each takes seconds
    "show, attend and tell",
    "adaptive, as released",
    "bottom-up top-down",
    "attention on attention, as released",
    "meshed memory, as released",
)
OBJECTIVES = (recipes.CROSS_ENTROPY, recipes.DOUBLY)


class Captioning(nn.Module):
    """A whole captioner, from pixels to losses, that takes tensors alone."""

    def __init__(self) -> None:
        super().__init__()
        vocabulary = ["<pad>", "<start>", "<end>", "<unk>", *"abcde"]
        assert len(vocabulary) == WORDS
        self.captioner: CaptioningModule = recipes.module(vocabulary, objectives=OBJECTIVES)

    def forward(self, pixels: Tensor, view: Tensor, tokens: Tensor, keep: Tensor) -> tuple[Tensor, ...]:
        """The losses."""
        return tuple(self.captioner(CaptionBatch(ImageBatch(pixels, view), tokens, keep, ())).values())


def main() -> None:
    """All of them."""
    torch.set_num_threads(1)
    view = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)
    pixels = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    for name in COMPILED:
        decoder, features, given = build(name), pictures(), captions()
        compiled = torch.compile(decoder, fullgraph=True, backend="eager")
        compiled(features, *captions())
        torch.testing.assert_close(compiled(features, *given), decoder(features, *given))
        torch.compiler.reset()
        print(f"compiled {name}")
    module, given = Captioning().eval(), captions()
    exported = torch.export.export(module, (pixels, view, *captions())).module()
    torch.testing.assert_close(exported(pixels, view, *given), module(pixels, view, *given))
    print("exported")


if __name__ == "__main__":
    main()
