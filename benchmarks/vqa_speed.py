"""Training step and answers of two VQA models beside the same models as most code writes them (`plain_vqa`).

Both have the same weights; before they are timed their logits are compared, and in training their losses over some
steps. All questions have the full length, and there is no dropout, so that both compute the same numbers.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn

from benchmarks.plain_vqa import PlainHierarchical, PlainModular
from benchmarks.timing import Floor, arguments, print_table
from common.attention import Grid, GuidedCoAttention, ParallelCoAttention, VisualFeatures
from common.encoders import HierarchicalTextEncoder, RecurrentTextEncoder
from common.errors import SaccadeError
from common.products import fast_products
from vqa.models import HierarchicalCoAttention, ModularCoAttentionNetwork
from vqa.models.base import VQAModel

COMPARED_STEPS = 3  # losses after the first show that the gradients, too, are the same
LSTM_LAYERS = 2  # of the hierarchical text
WORD_WIDTH = 300  # of MCAN's words before its LSTM
HEADS = 8


class Case(NamedTuple):
    """A model, the same one plainly written, and the regions that it looks at."""

    name: str
    ours: VQAModel
    plain: nn.Module
    regions: int
    width: int
    floor: Callable[[int, Namespace, bool], Floor]  # of so many pictures, in training or not


class Asked(NamedTuple):
    """Pictures, and the questions about each."""

    visual: VisualFeatures
    tokens: Int[Tensor, "B Q T"]


def hierarchical(sizes: Namespace) -> Case:
    """Hierarchical co-attention, parallel, three levels."""
    ours = HierarchicalCoAttention(
        sizes.width,
        sizes.answers,
        HierarchicalTextEncoder(sizes.vocabulary, sizes.hidden, LSTM_LAYERS, dropout=0.0),
        lambda *, dim, query_dim, key_dim: ParallelCoAttention(dim),
        dropout=0.0,
    )
    plain = PlainHierarchical(deepcopy(ours))
    return Case("Hierarchical co-attention", ours, plain, sizes.regions, sizes.width, hierarchical_floor)


def modular(sizes: Namespace) -> Case:
    """MCAN with the paper's depth and widths."""
    ours = ModularCoAttentionNetwork(
        sizes.box_width,
        sizes.answers,
        RecurrentTextEncoder(sizes.vocabulary, sizes.hidden, WORD_WIDTH),
        lambda *, dim, query_dim, key_dim: GuidedCoAttention(dim, sizes.layers, HEADS, summary_dim=2 * dim, dropout=0),
    )
    return Case("MCAN", ours, PlainModular(deepcopy(ours)), sizes.boxes, sizes.box_width, modular_floor)


def hierarchical_floor(pictures: int, sizes: Namespace, train: bool) -> Floor:
    """Regions are embedded once a picture and mapped once a level; training takes three products for each.

    What each level makes of all pairs of regions and features goes to the memory and, in training, back and forth.
    """
    dim, words, regions = sizes.hidden, sizes.words, sizes.regions
    asked = pictures * sizes.questions
    text = words * (6 + 8 * LSTM_LAYERS) * dim * dim
    level = (
        words * 2 * dim * dim + 3 * words * regions * dim + regions * 2 * dim
    )  # maps, C and both uses, score and sum
    joined = (1 + 2 + 2) * dim * dim + dim * sizes.answers
    products = asked * (text + 3 * level + joined) + pictures * regions * dim * (sizes.width + 3 * dim)
    pairs = asked * 3 * regions * dim
    return _floor(products, pairs + asked * 3 * words * regions, pairs, hierarchical_size(sizes), train)


def hierarchical_size(sizes: Namespace) -> int:
    """The number of its parameters, but for offsets."""
    dim = sizes.hidden
    return dim * (sizes.vocabulary + sizes.width + sizes.answers + (6 + 8 * LSTM_LAYERS + 9 + 5) * dim)


def modular_floor(pictures: int, sizes: Namespace, train: bool) -> Floor:
    """The regions' first self-attention is that of the picture, all else of each question.

    What is to be kept of each item of each layer goes to the memory and, in training, comes back with its gradient.
    """
    dim, words, boxes, layers = sizes.hidden, sizes.words, sizes.boxes, sizes.layers
    asked = pictures * sizes.questions
    think, look = 8 * dim * dim, 4 * dim * dim
    text = words * 4 * dim * (WORD_WIDTH + dim) + layers * words * (look + think + 2 * words * dim)
    own = boxes * (look + 2 * boxes * dim)
    guided = boxes * (look // 2 + think + 2 * words * dim) + words * look // 2
    ends = (words + boxes) * dim * dim + 2 * dim * 2 * dim + 2 * dim * sizes.answers
    products = asked * (text + (layers - 1) * own + layers * guided + ends)
    products += pictures * (own + boxes * sizes.box_width * dim)
    kept = asked * layers * dim * (boxes * 13 + words * 9)  # queries, keys, values, contexts, sums, the wide layer
    size = dim * (sizes.box_width + 2 * sizes.answers + 4 * dim + WORD_WIDTH * 4 + 4 * dim + 32 * layers * dim)
    return _floor(products, 0, kept, size + WORD_WIDTH * sizes.vocabulary, train)


def _floor(products: float, tanh: float, kept: float, parameters: float, train: bool) -> Floor:
    """Of so many products forward. The optimiser reads four numbers for each parameter and writes three."""
    moved = 4 * kept + 7 * parameters if train else parameters
    return Floor(products=(6 if train else 2) * products, tanh=tanh, memory=4 * moved)


def ask(pictures: int, case: Case, sizes: Namespace) -> Asked:
    """Random regions, not negative, and random questions."""
    values = torch.randn(pictures, case.regions, case.width).relu()
    grid = Grid(1, case.regions, torch.zeros(pictures, 4))
    keep = torch.ones(values.shape[:2], dtype=torch.bool)
    tokens = torch.randint(1, sizes.vocabulary, (pictures, sizes.questions, sizes.words))
    return Asked(VisualFeatures(values, keep, grid), tokens)


def answer(model: VQAModel, asked: Asked) -> Tensor:
    """Logits [N A] of ours, with the products that `VQAModule` has."""
    with fast_products():
        return model(asked.visual, asked.tokens, torch.ones_like(asked.tokens, dtype=torch.bool)).logits.flatten(0, 1)


def ways_to_answer(case: Case, asked: Asked) -> dict[str, Callable[[], Tensor]]:
    """Without gradient, by both."""
    plain = partial(case.plain, asked.visual.values, asked.tokens)
    ways = {
        "as most write it": plain,
        "the same, oneDNN": fast_products()(plain),
        "Saccade": partial(answer, case.ours, asked),
    }
    return {name: torch.no_grad()(way) for name, way in ways.items()}


def ways_to_train(case: Case, asked: Asked, sizes: Namespace) -> dict[str, Callable[[], float]]:
    """A step of each, that returns its loss."""
    targets = torch.rand(asked.tokens.shape[0] * asked.tokens.shape[1], sizes.answers)
    plain = partial(case.plain, asked.visual.values, asked.tokens)
    return {
        "as most write it": _step(case.plain, plain, targets),
        "Saccade": _step(case.ours, partial(answer, case.ours, asked), targets),
    }


def _step(module: nn.Module, logits: Callable[[], Tensor], targets: Tensor) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)

    def step() -> float:
        optimizer.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(logits(), targets)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def check_answers(ways: dict[str, Callable[[], Tensor]]) -> None:
    """See that all ways give the same logits.

    Raises:
        SaccadeError: they do not.
    """
    first, *others = (way() for way in ways.values())
    for other in others:
        if not torch.allclose(first, other, rtol=1e-3, atol=1e-4):
            raise SaccadeError(f"the logits differ, by up to {(first - other).abs().max():.2g}")


def check_training(ways: dict[str, Callable[[], float]]) -> None:
    """See that all ways have the same losses, at each of a few steps.

    Raises:
        SaccadeError: they have not.
    """
    for number in range(COMPARED_STEPS):
        first, *others = (way() for way in ways.values())
        for other in others:
            if abs(first - other) > 1e-4 * abs(first):
                raise SaccadeError(f"step {number}: the losses differ, {first} as most write it and {other} of ours")


def main(args: list[str] | None = None) -> None:
    """Compare, then print a table for each model and each kind of work."""
    sizes_and_more = {"pictures": 64, "batch": 8, "questions": 4, "words": 14, "hidden": 512, "vocabulary": 10_000}
    of_models = {"answers": 3000, "regions": 196, "width": 512, "boxes": 36, "box_width": 2048, "layers": 6}
    parser = arguments("VQA models: answers about `pictures`, training on `batch`.", **sizes_and_more, **of_models)
    parser.add_argument("--model", choices=("hierarchical", "modular"), help="this one alone")
    sizes = parser.parse_args(args)
    makers = {"hierarchical": hierarchical, "modular": modular}
    for maker in [makers[sizes.model]] if sizes.model else makers.values():
        torch.manual_seed(0)
        case = maker(sizes)
        about = f"{sizes.questions} questions of {sizes.words} words each, {case.regions} regions x {case.width}"
        answering = ways_to_answer(case, ask(sizes.pictures, case, sizes))
        check_answers(answering)
        title = f"{case.name}, answers about {sizes.pictures} pictures, {about}"
        asked, floor = sizes.pictures * sizes.questions, case.floor(sizes.pictures, sizes, False)
        print_table(title, "questions", asked, sizes, floor, answering)
        training = ways_to_train(case, ask(sizes.batch, case, sizes), sizes)
        check_training(training)
        title = f"\n{case.name}, training step on {sizes.batch} pictures, {about}"
        asked, floor = sizes.batch * sizes.questions, case.floor(sizes.batch, sizes, True)
        print_table(title, "questions", asked, sizes, floor, training)
        print()


if __name__ == "__main__":
    main()
