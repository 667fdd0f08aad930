"""Compiles VQA models and exports them whole; a program of its own, because what checks shapes at every call, as in the
tests, cannot be compiled."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from common.attention import Grid, VisualFeatures
from common.data.batches import ImageBatch
from common.training.parts import Part
from tests.vqa import recipes
from vqa.module import VQAModule

WORDS, ANSWERS = ["<pad>", "<start>", "<end>", "<unk>", *"abcdefgh"], ["yes", "no", "2"]
STACKED: Part = {
    "class_path": "common.attention.QuestionGuided",
    "init_args": {"attention": {"class_path": "common.attention.StackedAttention", "init_args": {"hidden_dim": 16}}},
}
MODELS: dict[str, dict[str, Any]] = {
    "parallel, three levels": {},
    "alternating, transformer": {"co_attention": recipes.ALTERNATING, "text": recipes.TRANSFORMER},
    "bilinear, transformer": {"co_attention": recipes.BILINEAR, "text": recipes.TRANSFORMER},
    "guided, one level": {"co_attention": recipes.GUIDED, "model": recipes.ONE_LEVEL},
    "stacked, transformer": {"co_attention": STACKED, "text": recipes.TRANSFORMER},
}


class Answering(nn.Module):
    """A whole VQA model, from pixels to logits and looks, that takes tensors alone."""

    def __init__(self, **recipe: Part) -> None:
        super().__init__()
        parts = {"encoder": recipes.GRID, "text": recipes.LEVELS, "model": recipes.JOINED} | recipe
        self.answerer = VQAModule(
            **({"co_attention": recipes.PARALLEL} | parts),
            objective=recipes.SOFT_LABELS,
            vocabulary=WORDS,
            answers=ANSWERS,
        )

    def forward(self, pixels: Tensor, view: Tensor, tokens: Tensor, keep: Tensor) -> tuple[Tensor, ...]:
        """Logits and looks."""
        features = self.answerer.features(ImageBatch(pixels, view))
        return tuple(each for each in self.answerer.model(features, tokens, keep) if each is not None)


def questions() -> tuple[Tensor, Tensor]:
    """Two pictures with two questions each, of which the last is room for one."""
    keep = torch.tensor([[[1, 1, 1, 1], [1, 1, 0, 0]], [[1, 1, 1, 0], [0, 0, 0, 0]]], dtype=torch.bool)
    return torch.randint(4, len(WORDS), keep.shape) * keep, keep


def main() -> None:
    """All of them."""
    torch.set_num_threads(1)
    torch._dynamo.config.allow_rnn = True  # else it leaves the graph at every LSTM
    view = torch.tensor([[0.0, 0.0, 1.0, 1.0]] * 2)
    pixels = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    for name, recipe in MODELS.items():
        module = Answering(**recipe).eval()
        model = module.answerer.model
        grid = VisualFeatures(torch.randn(2, 16, module.answerer.encoder.dim), torch.ones(2, 16) > 0, Grid(4, 4, view))
        compiled = torch.compile(model, fullgraph=True, backend="eager")
        compiled(grid, *questions())
        given = questions()
        torch.testing.assert_close(compiled(grid, *given), model(grid, *given))
        torch.compiler.reset()
        print(f"compiled {name}")
        exported = torch.export.export(module, (pixels, view, *questions())).module()
        torch.testing.assert_close(exported(pixels, view, *given), module(pixels, view, *given))
        print(f"exported {name}")


if __name__ == "__main__":
    main()
