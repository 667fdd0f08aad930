"""Training step of Show, Attend and Tell: ours against the equations written down one word after the other.

Both have the same weights and see the same captions; before they are timed their losses are compared over some steps.
All captions have the full length, so that neither wins by leaving out padding; without dropout, so that both compute
the same numbers.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from benchmarks.captioner import SIZES, decoder, features, floor
from benchmarks.timing import arguments, print_table
from captioning.decoders import ShowAttendTell
from captioning.objectives import Captions, CrossEntropy, DoublyStochastic
from common.attention import AdditiveScore, VisualFeatures
from common.errors import SaccadeError
from common.products import fast_products

COMPARED_STEPS = 3  # losses after the first show that the gradients, too, are the same
OBJECTIVES = (CrossEntropy(), DoublyStochastic())


class Precision(NamedTuple):
    """How the captioner's matrix products are computed, and how far its losses may be from those in float32."""

    matmul: str = "highest"  # "medium" lets float32 matrices be multiplied in bfloat16, where the processor can
    autocast: bool = False  # to bfloat16, as with trainer.precision: bf16-mixed
    tolerance: float = 1e-4


PRECISIONS = {
    "Saccade": Precision(),
    "Saccade, medium": Precision("medium", tolerance=1e-2),
    "Saccade, bf16-mixed": Precision(autocast=True, tolerance=1e-2),
}


class WordByWord(nn.Module):
    """Equations 1-9 of Xu et al. 2015 in plain PyTorch: all is computed where the equations name it, for each word."""

    def __init__(self, vocabulary: int, width: int, hidden: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.start_hidden = nn.Linear(width, hidden)
        self.start_cell = nn.Linear(width, hidden)
        self.map_query = nn.Linear(hidden, hidden, bias=False)
        self.map_key = nn.Linear(width, hidden)
        self.score = nn.Linear(hidden, 1, bias=False)
        self.gate = nn.Linear(hidden, 1)
        self.cell = nn.LSTMCell(hidden + width, hidden)
        self.output_hidden = nn.Linear(hidden, hidden, bias=False)
        self.output_context = nn.Linear(width, hidden, bias=False)
        self.output = nn.Linear(hidden, vocabulary)

    @torch.no_grad()
    def copy(self, ours: ShowAttendTell) -> None:
        """Take over the weights."""
        score = ours.attention.score
        assert isinstance(score, AdditiveScore)
        assert ours.gate is not None
        for name in ("embedding", "start_hidden", "start_cell", "output_hidden", "output_context", "output", "gate"):
            getattr(self, name).load_state_dict(getattr(ours, name).state_dict())
        self.map_query.load_state_dict(score.map_query.state_dict())
        self.map_key.load_state_dict(score.map_key.state_dict())
        self.score.weight.copy_(score.vector.unsqueeze(0))
        inputs = torch.cat([ours.word_gates.weight, ours.context_gates.weight], 1)
        self.cell.weight_ih.copy_(_in_torch_order(inputs))
        self.cell.weight_hh.copy_(_in_torch_order(ours.hidden_gates.weight))
        self.cell.bias_ih.copy_(_in_torch_order(ours.word_gates.bias))
        self.cell.bias_hh.zero_().requires_grad_(False)  # two biases would be learned twice as fast as one

    def forward(self, regions: Float[Tensor, "B R D"], tokens: Int[Tensor, "B T+1"]) -> Float[Tensor, ""]:
        """The scalar loss of captions of T words after the start."""
        mean = regions.mean(1)
        hidden, cell = self.start_hidden(mean).tanh(), self.start_cell(mean).tanh()
        likelihood, seen = [], []
        for word, target in zip(tokens[:, :-1].unbind(1), tokens[:, 1:].unbind(1), strict=True):
            energy = self.score(torch.tanh(self.map_query(hidden).unsqueeze(1) + self.map_key(regions)))  # [B R 1]
            weights = energy.softmax(1)
            context = (weights * regions).sum(1) * self.gate(hidden).sigmoid()  # [B D]
            embedded = self.embedding(word)
            hidden, cell = self.cell(torch.cat([embedded, context], 1), (hidden, cell))
            logits = self.output(embedded + self.output_hidden(hidden) + self.output_context(context))
            likelihood.append(nn.functional.cross_entropy(logits, target))
            seen.append(weights.squeeze(2))
        penalty = (1 - torch.stack(seen).sum(0)).square().sum(1).mean()
        return torch.stack(likelihood).mean() + penalty


def _in_torch_order(gates: Tensor) -> Tensor:
    """Rows of ours, (write, forget, read, candidate), in the order of nn.LSTMCell, (i, f, g, o)."""
    write, forget, read, candidate = gates.chunk(4)
    return torch.cat([write, forget, candidate, read])


def build(sizes: Namespace) -> dict[str, Callable[[], float]]:
    """A training step of each implementation, that returns its loss; all begin with the same weights."""
    plain = WordByWord(sizes.vocabulary, sizes.width, sizes.hidden)
    visual = features(sizes.batch, sizes)
    tokens = torch.randint(sizes.vocabulary, (sizes.batch, sizes.words + 1))
    ours = decoder(sizes)
    plain.copy(ours)
    ways = {"word by word": _step(plain, partial(plain, visual.values, tokens))}
    for name, settings in PRECISIONS.items():
        copy = deepcopy(ours)
        if sizes.compile:
            copy.compile()
        ways[name] = _in_precision(_step(copy, partial(_loss, copy, visual, tokens, settings.autocast)), settings)
    return ways


def _loss(ours: ShowAttendTell, visual: VisualFeatures, tokens: Int[Tensor, "B T+1"], autocast: bool) -> Tensor:
    """The scalar loss, with the objectives that the captioner is trained with."""
    captions = tokens.unsqueeze(1)  # [B 1 T + 1]
    inputs, targets = captions[..., :-1], captions[..., 1:]
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast), fast_products():
        given = Captions(ours, visual, inputs, targets, torch.ones_like(targets, dtype=torch.bool), ())
        terms = [each for objective in OBJECTIVES for each in objective(given).values()]
        return torch.stack(terms).sum()


def _in_precision(step: Callable[[], float], settings: Precision) -> Callable[[], float]:
    def run() -> float:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision(settings.matmul)
        try:
            return step()
        finally:
            torch.set_float32_matmul_precision(before)

    return run


def _step(module: nn.Module, loss: Callable[[], Tensor]) -> Callable[[], float]:
    """One step of the optimiser that Saccade trains with."""
    optimizer = torch.optim.AdamW([each for each in module.parameters() if each.requires_grad], fused=True)

    def step() -> float:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        optimizer.step()
        return value.item()

    return step


def main(args: list[str] | None = None) -> None:
    """Compare the losses, then print the table."""
    parser = arguments("Training step of the captioner.", batch=32, **SIZES)
    parser.add_argument("--compile", action="store_true", help="ours goes through torch.compile (minutes, a compiler)")
    sizes = parser.parse_args(args)
    torch.manual_seed(0)
    ways = build(sizes)
    for number in range(COMPARED_STEPS):
        plain, *others = (way() for way in ways.values())
        for loss, (name, settings) in zip(others, PRECISIONS.items(), strict=True):
            if abs(plain - loss) > settings.tolerance * abs(plain):
                raise SaccadeError(f"step {number}: the losses differ, {plain} word by word and {loss} of {name}")
    title = (
        f"Training step: {sizes.batch} captions of {sizes.words} words, {sizes.regions} regions x {sizes.width}, "
        f"vocabulary {sizes.vocabulary}, hidden {sizes.hidden}"
    )
    least = floor(sizes.batch, sizes.batch * sizes.words, sizes, train=True)
    print_table(title, "captions", sizes.batch, sizes, least, ways)


if __name__ == "__main__":
    main()
