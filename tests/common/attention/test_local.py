from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from common.attention import (
    AdditiveScore,
    Attention,
    AttentionOutput,
    Boxes,
    Distribution,
    DotScore,
    Grid,
    LocalMonotonic,
    LocalPredictive,
    LocationScore,
    Softmax,
)
from common.attention.local import Local
from tests.common.attention import reference, reference_local
from tests.common.attention.cases import DISTRIBUTIONS, quick

WIDTH = 3  # of queries
Layout = Literal["words", "grid", "boxes"]
LAYOUTS: tuple[Layout, ...] = ("words", "grid", "boxes")
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _grid(height: int, width: int, batch: int = 1) -> Grid:
    return Grid(height, width, torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(batch, 4))


def _boxes(batch: int, number: int, seed: int = 0) -> Boxes:
    corners = torch.rand(batch, number, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return Boxes(torch.cat([corners.view(batch, number, 2, 2).amin(2), corners.view(batch, number, 2, 2).amax(2)], -1))


def _predictive(seed: int = 0, **settings: Any) -> LocalPredictive:
    torch.manual_seed(seed)
    position = LocalPredictive(WIDTH, hidden_dim=4, **settings).double()
    for parameter in position.parameters():
        torch.nn.init.normal_(parameter)
    return position


def _aim(position: LocalPredictive, score: float) -> LocalPredictive:
    """Makes v . tanh(W q) this score for a query of ones, along both axes."""
    with torch.no_grad():
        position.map_query.weight.fill_(100.0)  # tanh is one
        position.predict.weight.fill_(score / position.predict.in_features)
    return position


def _attend(
    position: Local,
    logits: Tensor,
    keep: Tensor | None = None,
    layout: Grid | Boxes | None = None,
    *,
    query: Tensor | None = None,
    distribution: Distribution | None = None,
    step: int = 0,
) -> AttentionOutput:
    """Local attention over values that are one-hot, so that the context is the weights."""
    batch, queries, keys = logits.shape
    query = torch.ones(batch, queries, WIDTH, dtype=logits.dtype) if query is None else query
    keep = torch.ones(batch, keys, dtype=torch.bool) if keep is None else keep
    values = torch.eye(keys, dtype=logits.dtype).expand(batch, keys, keys)
    begun = position.begin(keep, layout)
    return position(query, logits, values, keep, distribution or Softmax(), begun, step)


@st.composite
def cases(draw: st.DrawFn) -> tuple[int, int, int, int, Tensor, int]:
    """Batch, queries, height, width, keep [B N] of any kind, and a seed."""
    batch, queries, height, width = draw(st.integers(1, 3)), *(draw(st.integers(1, 4)) for _ in range(3))
    cells = height * width
    keep = draw(st.lists(st.lists(st.booleans(), min_size=cells, max_size=cells), min_size=batch, max_size=batch))
    return batch, queries, height, width, torch.tensor(keep), draw(st.integers(0, 1000))


def _places(layout: Layout, height: int, width: int, boxes: Boxes, row: int) -> list[tuple[float, ...]]:
    """Where the keys lie, one by one."""
    if layout == "words":
        return [(n,) for n in range(height * width)]
    if layout == "grid":
        return [(y, x) for y in range(height) for x in range(width)]
    return [((y0 + y1) / 2, (x0 + x1) / 2) for x0, y0, x1, y1 in boxes.corners[row].tolist()]


# The equations


@every_layout
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize(("gaussian", "variant"), [(True, "paper"), (True, "code"), (False, "paper")])
@quick
@given(case=cases(), window=st.integers(1, 3), radius=st.floats(0.1, 1.5))
def test_predictive_weights_equal_the_loops_of_the_reference(
    layout: Layout, distribution: str, gaussian: bool, variant: str, case: Any, window: int, radius: float
) -> None:
    batch, queries, height, width, keep, seed = case
    position = _predictive(seed, window=window, radius=radius, gaussian=gaussian, variant=variant)
    logits, query = _draw(batch, queries, height * width, seed=seed), _draw(batch, queries, WIDTH, seed=seed + 1)
    boxes = _boxes(batch, height * width, seed)
    where = {"words": None, "grid": _grid(height, width, batch), "boxes": boxes}[layout]
    output = _attend(position, logits, keep, where, query=query, distribution=DISTRIBUTIONS[distribution]())
    p = reference.parameters(position)
    for b, q in np.ndindex(batch, queries):
        length = max([n + 1 for n in range(height * width) if keep[b, n]], default=0)
        sentence = max(length - 1, 0) if variant == "code" else length
        extent = {"words": (sentence,), "grid": (height - 1, width - 1), "boxes": (1, 1)}[layout]
        expected = reference_local.local(
            reference.DISTRIBUTION[distribution],
            logits[b, q].numpy(),
            keep[b].numpy(),
            _places(layout, height, width, boxes, b),
            reference_local.predicted(p, query[b, q].numpy(), extent),
            radius if layout == "boxes" else window,
            indexed=layout != "boxes",
            gaussian=gaussian,
        )
        np.testing.assert_allclose(output.weights[b, q].detach().numpy(), expected, rtol=0, atol=1e-10)
        np.testing.assert_allclose(output.context[b, q].detach().numpy(), expected, rtol=0, atol=1e-10)


@every_layout
@quick
@given(case=cases(), step=st.integers(0, 40), window=st.integers(0, 3), radius=st.floats(0, 1.5))
def test_monotonic_weights_equal_the_loops_of_the_reference(
    layout: Layout, case: Any, step: int, window: int, radius: float
) -> None:
    batch, queries, height, width, keep, seed = case
    logits, boxes = _draw(batch, queries, height * width, seed=seed), _boxes(batch, height * width, seed)
    where = {"words": None, "grid": _grid(height, width, batch), "boxes": boxes}[layout]
    output = _attend(LocalMonotonic(window, radius), logits, keep, where, step=step)
    for b, q in np.ndindex(batch, queries):
        length = max([n + 1 for n in range(height * width) if keep[b, n]], default=1)
        places = _places(layout, height, width, boxes, b)
        expected = reference_local.local(
            reference.softmax,
            logits[b, q].numpy(),
            keep[b].numpy(),
            places,
            places[step % length],
            radius if layout == "boxes" else window,
            indexed=layout != "boxes",
            gaussian=False,
        )
        np.testing.assert_allclose(output.weights[b, q].numpy(), expected, rtol=0, atol=1e-10)


# The window


def test_a_window_has_2d_plus_1_keys_and_fewer_at_the_borders() -> None:
    for step, expected in ((5, 5), (2, 5), (1, 4), (0, 3), (9, 3), (8, 4)):
        weights = _attend(LocalMonotonic(window=2), _draw(1, 1, 10), step=step).weights
        assert int((weights > 0).sum()) == expected
        assert weights.sum().item() == pytest.approx(1)


def test_a_window_on_a_grid_is_a_square_cut_at_the_borders() -> None:
    weights = _attend(LocalMonotonic(window=1), _draw(1, 1, 20), layout=_grid(4, 5), step=7).weights.view(4, 5)
    inside = torch.zeros(4, 5, dtype=torch.bool)
    inside[0:3, 1:4] = True  # key 7 is row 1, column 2
    assert torch.equal(weights > 0, inside)
    corner = _attend(LocalMonotonic(window=1), _draw(1, 1, 20), layout=_grid(4, 5), step=19).weights
    assert int((corner > 0).sum()) == 4


def test_the_raster_scan_begins_anew_after_the_last_valid_key() -> None:
    keep = torch.tensor([[True] * 6, [True] * 4 + [False] * 2, [True] + [False] * 5])
    steps = [_attend(LocalMonotonic(window=0), _draw(3, 1, 6), keep, step=t).weights for t in range(7)]
    scanned = torch.stack(steps, -1).squeeze(1)  # [3 N T]
    assert scanned.argmax(1).tolist() == [[0, 1, 2, 3, 4, 5, 0], [0, 1, 2, 3, 0, 1, 2], [0] * 7]
    assert (scanned.sum(1) == 1).all()


@every_layout
def test_a_wide_window_without_gaussian_is_global_attention(layout: Layout) -> None:
    logits, keep = _draw(2, 3, 12), torch.rand(2, 12) > 0.4
    where = {"words": None, "grid": _grid(3, 4, 2), "boxes": _boxes(2, 12)}[layout]
    plain = Softmax()(logits, keep.unsqueeze(1))
    for position in (_predictive(window=12, radius=1.0, gaussian=False), LocalMonotonic(window=12, radius=1.0)):
        torch.testing.assert_close(_attend(position, logits, keep, where).weights, plain)


def test_a_wide_window_is_global_attention_times_the_gaussian() -> None:
    logits, position = _draw(2, 3, 8), _aim(_predictive(window=8), 0.3)
    share = _attend(position, logits).weights / logits.softmax(-1)
    at = 8 * torch.sigmoid(torch.tensor(0.3, dtype=torch.float64))
    expected = torch.exp(-(torch.arange(8) - at).square() / (2 * 4.0**2))
    torch.testing.assert_close(share, expected.expand_as(share))


def test_predictive_weights_sum_to_less_than_one() -> None:
    total = _attend(_predictive(window=2), _draw(3, 4, 12), query=_draw(3, 4, WIDTH)).weights.sum(-1)
    assert ((total > 0) & (total < 1)).all()


def test_a_grid_of_one_row_is_a_sentence_of_the_code() -> None:
    logits, query = _draw(2, 3, 7), _draw(2, 3, WIDTH)
    row = _attend(_predictive(window=2), logits, layout=_grid(1, 7, 2), query=query).weights
    words = _attend(_predictive(window=2, variant="code"), logits, query=query).weights
    torch.testing.assert_close(row, words)


def test_equal_logits_on_a_grid_give_weights_that_are_rows_times_columns() -> None:
    weights = _attend(
        _predictive(window=2), torch.zeros(2, 3, 30).double(), layout=_grid(5, 6, 2), query=_draw(2, 3, 3)
    )
    table = weights.weights.unflatten(-1, (5, 6))
    product = table.sum(-1, keepdim=True) * table.sum(-2, keepdim=True) / table.sum((-1, -2), keepdim=True)
    torch.testing.assert_close(table, product)


def test_boxes_are_inside_by_their_centres() -> None:
    corners = torch.tensor([[[0.0, 0.0, 1.0, 1.0], [0.4, 0.4, 0.6, 0.6], [0.5, 0.9, 0.5, 1.0], [0.0, 0.0, 0.2, 0.2]]])
    weights = _attend(_aim(_predictive(radius=0.2), 0.0), torch.zeros(1, 1, 4).double(), layout=Boxes(corners)).weights
    torch.testing.assert_close(weights, torch.tensor([[[0.5, 0.5, 0.0, 0.0]]]).double())  # p = (1/2, 1/2)


@every_layout
def test_a_window_that_lies_on_padding_gives_zeros_and_no_gradient(layout: Layout) -> None:
    corners = torch.tensor([[0.9, 0.9, 1.0, 1.0]]).double().repeat(12, 1)
    corners[0] = torch.tensor([0.0, 0.0, 0.1, 0.1])
    where = {"words": None, "grid": _grid(3, 4), "boxes": Boxes(corners.unsqueeze(0))}[layout]
    keep = torch.zeros(1, 12, dtype=torch.bool)
    keep[0, 0] = True
    if layout == "words":
        keep[0] = ~keep[0]  # the window lies at word 0, the words begin later
    position, logits = _aim(_predictive(window=1), -50.0 if layout == "words" else 50.0), _draw(1, 2, 12)
    keep[0, 1] = False
    output = _attend(position, logits.requires_grad_(), keep, where)
    assert not output.weights.any()
    output.context.sum().backward()
    assert logits.grad is not None
    assert not logits.grad.any()
    assert all(p.grad is not None and not p.grad.any() for p in position.parameters())


def test_the_mask_holds_within_the_window() -> None:
    keep = torch.tensor([[True, True, False, True, True, True]])
    weights = _attend(LocalMonotonic(window=1), torch.zeros(1, 1, 6), keep, step=2).weights
    assert weights.tolist() == [[[0, 0.5, 0, 0.5, 0, 0]]]


def test_padding_changes_nothing() -> None:
    logits, query, position = _draw(2, 3, 6), _draw(2, 3, WIDTH), _predictive(window=2)
    plain = _attend(position, logits, query=query).weights
    keep = torch.tensor([[True] * 6 + [False] * 3] * 2)
    padded = _attend(position, torch.cat([logits, 9 * _draw(2, 3, 3)], -1), keep, query=query).weights
    torch.testing.assert_close(padded[..., :6], plain)
    assert not padded[..., 6:].any()


# Gradients and precision


@every_layout
def test_gradients_are_right_and_reach_the_predicted_place(layout: Layout) -> None:
    where = {"words": None, "grid": _grid(3, 4, 2), "boxes": _boxes(2, 12)}[layout]
    position, keep = _predictive(window=2, radius=0.5), torch.ones(2, 12, dtype=torch.bool)
    keep[0, 5:] = False
    query, logits = _draw(2, 2, WIDTH, seed=3).requires_grad_(), _draw(2, 2, 12, seed=4).requires_grad_()
    assert gradcheck(lambda q, e: _attend(position, e, keep, where, query=q).context, (query, logits))
    (_attend(position, logits, keep, where, query=query).context @ _draw(12)).sum().backward()
    assert position.predict.weight.grad is not None
    assert position.predict.weight.grad[-1].any()
    assert position.predict.weight.grad[0].any() == (layout != "words")


@every_layout
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("score", [-60000.0, 60000.0])
def test_a_place_at_either_end_gives_finite_weights_and_gradients(
    layout: Layout, dtype: torch.dtype, score: float
) -> None:
    where = {"words": None, "grid": _grid(3, 4), "boxes": _boxes(1, 12)}[layout]
    position = _aim(_predictive(window=2, radius=1.0), score).to(dtype)
    logits = _draw(1, 1, 12).to(dtype).requires_grad_()
    output = _attend(position, logits, layout=where)
    assert output.weights.dtype == torch.float32
    assert output.context.dtype == dtype
    assert output.weights.any()
    if layout == "grid":
        assert bool(output.weights[0, 0, 0] > 0) == (score < 0)
        assert bool(output.weights[0, 0, -1] > 0) == (score > 0)
    output.context.sum().backward()
    for parameter in (logits, *position.parameters()):
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()


# In attention as a whole


def test_each_query_has_a_window_of_its_own_and_the_map_of_the_keys_is_made_once() -> None:
    torch.manual_seed(0)
    attention = Attention(AdditiveScore(WIDTH, 4, hidden_dim=5), position=LocalPredictive(WIDTH, 6, window=1))
    for parameter in attention.position.parameters():
        torch.nn.init.normal_(parameter, std=3)
    prepared = attention.prepare(torch.randn(2, 30, 4), torch.ones(2, 30, dtype=torch.bool), layout=_grid(5, 6, 2))
    query = torch.randn(2, 8, WIDTH)
    weights = attention(query, prepared).weights
    assert len({tuple(row.nonzero().flatten().tolist()) for row in weights[0]}) > 1
    alone = torch.cat([attention(one, prepared).weights for one in query.split(1, 1)], 1)
    torch.testing.assert_close(alone, weights)


def test_locations_can_be_scored_within_a_window() -> None:
    attention = Attention(LocationScore(WIDTH, positions=6), position=LocalMonotonic(window=1))
    prepared = attention.prepare(torch.randn(2, 6, 4), torch.ones(2, 6, dtype=torch.bool))
    weights = attention(torch.randn(2, 1, WIDTH), prepared, step=3).weights
    assert torch.equal(weights > 0, torch.tensor([0, 0, 1, 1, 1, 0]).bool().expand(2, 1, 6))


def test_the_kind_is_told_in_words() -> None:
    assert Attention(DotScore(3, 3), position=LocalMonotonic()).kind == "local monotonic"
    assert Attention(DotScore(3, 3), position=LocalPredictive(3)).kind == "local predictive"


@pytest.mark.parametrize("settings", [{"window": 0}, {"radius": 0.0}])
def test_predictive_refuses_a_window_of_one_key(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="window and radius are > 0"):
        LocalPredictive(3, **settings)


@pytest.mark.parametrize("settings", [{"window": -1}, {"radius": -0.1}, {"radius": float("nan")}])
def test_a_negative_window_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="reaches 0 or more to either side"):
        LocalMonotonic(**settings)
