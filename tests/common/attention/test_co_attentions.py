"""The invariants of every co-attention (see `co_kinds.py`), over sizes, masks and precisions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from common.attention import CoAttentionOutput
from tests.common.attention.cases import quick
from tests.common.attention.co_kinds import CO_ATTENTIONS, DIM, Inputs, assert_same, build_co_kind, draw, inputs


def kinds_with(invariant: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "kind", [name for name, each in CO_ATTENTIONS.items() if invariant not in each.exempt]
    )


every_kind = pytest.mark.parametrize("kind", CO_ATTENTIONS)


def _change_regions(output: CoAttentionOutput, index: Tensor | slice) -> CoAttentionOutput:
    """The output with other regions' weights: permuted or cut."""
    parts = output.region_parts
    return output._replace(
        region_weights=output.region_weights[..., index], region_parts=parts if parts is None else parts[..., index]
    )


def _select(output: CoAttentionOutput, index: tuple[slice, ...]) -> CoAttentionOutput:
    """The output of some of the examples and questions."""
    return CoAttentionOutput(*(each if each is None else each[index] for each in output))


@every_kind
@quick
@given(batch=inputs())
def test_shapes_and_parts_are_as_told(kind: str, batch: Inputs) -> None:
    module = build_co_kind(kind)
    output = module(*batch)
    assert output.words.shape == output.regions.shape == (*batch[0].shape[:2], DIM)
    assert output.word_weights.shape == batch[1].shape
    assert output.region_weights.shape == (*batch[0].shape[:2], batch[2].shape[1])
    assert module.kind
    if module.part_axis is None:
        assert output.region_parts is None
    else:
        assert output.region_parts is not None
        torch.testing.assert_close(output.region_parts.mean(2), output.region_weights)


@every_kind
@quick
@given(batch=inputs())
def test_weights_sum_to_one_and_are_zero_where_nothing_is_valid(kind: str, batch: Inputs) -> None:
    output = build_co_kind(kind)(*batch)
    word_keep = batch[1]
    region_keep = batch[3].unsqueeze(1).expand(output.region_weights.shape)
    both = word_keep.any(-1) & region_keep.any(-1)
    parts = () if output.region_parts is None else output.region_parts.unbind(2)
    exempt = CO_ATTENTIONS[kind].exempt
    for weights, keep in ((output.word_weights, word_keep), *((each, region_keep) for each in (output[3], *parts))):
        assert (weights >= 0).all()
        assert not weights[~keep].any()
        needs_both = "apart" in exempt or ("words look" in exempt and keep is region_keep)
        expected = both if needs_both else keep.any(-1)
        torch.testing.assert_close(weights.sum(-1), expected.double(), rtol=0, atol=1e-10)
    assert all(each is None or each.isfinite().all() for each in output)


@kinds_with("padding")
@quick
@given(batch=inputs(), padding=st.tuples(st.integers(0, 3), st.integers(0, 3)), size=st.sampled_from([0.0, 1.0, 1e3]))
def test_padding_on_either_side_changes_nothing(
    kind: str, batch: Inputs, padding: tuple[int, int], size: float
) -> None:
    words, word_keep, regions, region_keep = batch

    def pad(items: Tensor, keep: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        items = torch.where(keep.unsqueeze(-1), items, size * draw(*items.shape, seed=8))
        extra = size * draw(*items.shape[:-2], rows, DIM, seed=7)
        return torch.cat([items, extra], -2), torch.cat([keep, torch.zeros(*keep.shape[:-1], rows) > 0], -1)

    module = build_co_kind(kind)
    padded = module(*pad(words, word_keep, padding[0]), *pad(regions, region_keep, padding[1]))
    cut = padded._replace(word_weights=padded.word_weights[..., : words.shape[2]])
    assert_same(_change_regions(cut, slice(regions.shape[1])), module(*batch))


@every_kind
@quick
@given(batch=inputs(), seed=st.integers(0, 1000))
def test_permuting_words_and_regions_permutes_the_weights_and_keeps_the_summaries(
    kind: str, batch: Inputs, seed: int
) -> None:
    words, word_keep, regions, region_keep = batch
    generator = torch.Generator().manual_seed(seed)
    word_order = torch.randperm(words.shape[2], generator=generator)
    region_order = torch.randperm(regions.shape[1], generator=generator)
    module = build_co_kind(kind)
    plain = module(*batch)
    permuted = module(
        words[:, :, word_order], word_keep[:, :, word_order], regions[:, region_order], region_keep[:, region_order]
    )
    expected = plain._replace(word_weights=plain.word_weights[..., word_order])
    assert_same(permuted, _change_regions(expected, region_order))


@every_kind
@quick
@given(batch=inputs())
def test_an_example_comes_out_the_same_alone_and_in_a_batch(kind: str, batch: Inputs) -> None:
    module = build_co_kind(kind)
    together = module(*batch)
    for index in range(len(batch[0])):
        here = (slice(index, index + 1),)
        assert_same(module(*(tensor[here] for tensor in batch)), _select(together, here))


@every_kind
@quick
@given(batch=inputs())
def test_a_question_comes_out_the_same_alone_and_among_others_about_the_picture(kind: str, batch: Inputs) -> None:
    module = build_co_kind(kind)
    together = module(*batch)
    words, word_keep, *picture = batch
    for index in range(words.shape[1]):
        here = (slice(None), slice(index, index + 1))
        assert_same(module(words[here], word_keep[here], *picture), _select(together, here))


@kinds_with("single")
def test_a_single_word_and_a_single_region_are_the_summaries(kind: str) -> None:
    words, regions, keep = draw(2, 3, 1, DIM), draw(2, 1, DIM, seed=1), torch.ones(2, 3, 1) > 0
    output = build_co_kind(kind)(words, keep, regions, keep[:, 0])
    torch.testing.assert_close(output.words, words.squeeze(2))
    torch.testing.assert_close(output.regions, regions.expand(2, 3, DIM))


@every_kind
def test_identical_words_and_identical_regions_get_uniform_weights(kind: str) -> None:
    words, regions = draw(2, 1, 1, DIM).expand(-1, -1, 5, -1), draw(2, 1, DIM, seed=1).expand(-1, 4, -1)
    output = build_co_kind(kind)(words, torch.ones(2, 1, 5) > 0, regions, torch.ones(2, 4) > 0)
    torch.testing.assert_close(output.word_weights, torch.full((2, 1, 5), 1 / 5).double())
    torch.testing.assert_close(output.region_weights, torch.full((2, 1, 4), 1 / 4).double())


@every_kind
def test_gradients_are_right_with_masks_and_a_picture_with_nothing_valid(kind: str) -> None:
    module = build_co_kind(kind)
    words, regions = draw(2, 2, 3, DIM).requires_grad_(), draw(2, 4, DIM, seed=1).requires_grad_()
    word_keep = torch.tensor([[[True, True, False], [True, False, False]], [[True] * 3, [False] * 3]])
    region_keep = torch.tensor([[True, False, True, True], [False] * 4])
    assert gradcheck(lambda q, v: module(q, word_keep, v, region_keep)[:4], (words, regions), fast_mode=True)
    sum(tensor.sum() for tensor in module(words, word_keep, regions, region_keep)[:4]).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@every_kind
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 5e-3), (torch.bfloat16, 5e-2)])
def test_low_precision_is_finite_and_close_to_double(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    module = build_co_kind(kind).to(dtype)
    words, regions = (0.5 * draw(2, 1, 3, DIM)).to(dtype), (0.5 * draw(2, 4, DIM, seed=1)).to(dtype)
    word_keep = torch.tensor([[[True, True, False]], [[False] * 3]])
    region_keep = torch.tensor([[True, False, True, True], [False] * 4])
    low = module(words, word_keep, regions, region_keep)
    exact = module.double()(words.double(), word_keep, regions.double(), region_keep)
    assert low.word_weights.dtype == low.region_weights.dtype == torch.float32
    for ours, theirs in zip(low[:4], exact[:4], strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=tolerance, atol=tolerance)


@every_kind
def test_autocast_gives_float32_weights_close_to_those_without(kind: str) -> None:
    module = build_co_kind(kind).float()
    batch = draw(2, 2, 3, DIM).float(), torch.ones(2, 2, 3) > 0, draw(2, 4, DIM, seed=1).float(), torch.ones(2, 4) > 0
    with torch.autocast("cpu", torch.bfloat16):
        output = module(*batch)
    assert output.word_weights.dtype == output.region_weights.dtype == torch.float32
    for ours, theirs in zip(output[:4], module(*batch)[:4], strict=True):
        torch.testing.assert_close(ours.float(), theirs, rtol=0.1, atol=0.1)


@kinds_with("dropout")
def test_dropout_is_on_in_training_and_off_at_inference(kind: str) -> None:
    module = build_co_kind(kind, dropout=0.5)
    batch = (draw(2, 1, 3, DIM), torch.ones(2, 1, 3) > 0, draw(2, 4, DIM, seed=1), torch.ones(2, 4) > 0)
    module.train()
    assert not torch.equal(module(*batch).region_weights, module(*batch).region_weights)
    module.eval()
    assert_same(module(*batch), module(*batch))


COMPILE = """
import torch
from tests.common.attention.co_kinds import CO_ATTENTIONS, DIM, assert_same, build_co_kind, draw

for kind in CO_ATTENTIONS:
    module = build_co_kind(kind)
    batch = draw(2, 2, 3, DIM), torch.ones(2, 2, 3) > 0, draw(2, 4, DIM, seed=1), torch.ones(2, 4) > 0
    assert_same(torch.compile(module, fullgraph=True, backend="eager")(*batch), module(*batch))
"""


@pytest.mark.slow
def test_each_compiles_to_one_graph() -> None:
    # in a process of its own, since the checks of shapes that the tests install cannot be compiled
    subprocess.run([sys.executable, "-c", COMPILE], check=True, cwd=Path(__file__).parents[3])
