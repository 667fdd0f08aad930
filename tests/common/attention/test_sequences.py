from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck

from common.attention import AlternatingCoAttention, CoAttention, CoAttentionOutput, ParallelCoAttention
from tests.common.attention import reference
from tests.common.attention.cases import quick

DIM, HIDDEN = 3, 4
KINDS: dict[str, Callable[[], CoAttention]] = {
    "parallel": lambda: ParallelCoAttention(DIM, HIDDEN),
    "parallel, as in the code": lambda: ParallelCoAttention(DIM, HIDDEN, variant="code", mask_affinity=False),
    "alternating": lambda: AlternatingCoAttention(DIM, HIDDEN),
    "alternating, as in the code": lambda: AlternatingCoAttention(DIM, HIDDEN, variant="code"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)
# Without the mask on the affinity, padding is seen by the other side.
padding_safe = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "parallel, as in the code"])

Inputs = tuple[Tensor, Tensor, Tensor, Tensor]


def _build(kind: str) -> CoAttention:
    torch.manual_seed(0)
    return KINDS[kind]().double().eval()


def _draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def inputs(draw: st.DrawFn) -> Inputs:
    """Words of several texts, their mask, regions, their mask: more words than regions or fewer, any mask."""
    batch, texts, words, regions = (draw(st.integers(1, most)) for most in (3, 2, 5, 5))
    seed = draw(st.integers(0, 2**31))

    def mask(*shape: int) -> Tensor:
        size = math.prod(shape)
        return torch.tensor(draw(st.lists(st.booleans(), min_size=size, max_size=size))).view(shape)

    return (
        _draw(batch, texts, words, DIM, seed=seed),
        mask(batch, texts, words),
        _draw(batch, regions, DIM, seed=seed + 1),
        mask(batch, regions),
    )


def _assert_same(got: CoAttentionOutput, expected: CoAttentionOutput) -> None:
    for ours, theirs in zip(got[:4], expected[:4], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-10)


@every_kind
@quick
@given(batch=inputs())
def test_summaries_and_weights_equal_the_loops_of_the_reference(kind: str, batch: Inputs) -> None:
    module = _build(kind)
    p = reference.parameters(module)
    output = module(*batch)
    for b, q in np.ndindex(*batch[0].shape[:2]):
        pair = [tensor.numpy() for tensor in (batch[0][b, q], batch[1][b, q], batch[2][b], batch[3][b])]
        if isinstance(module, ParallelCoAttention):
            expected = reference.parallel_co_attention(p, *pair, mask_affinity=module.mask_affinity)
        else:
            expected = reference.alternating_co_attention(p, *pair)
        for ours, theirs in zip(output[:4], expected, strict=True):
            np.testing.assert_allclose(ours[b, q].detach().numpy(), theirs, rtol=0, atol=1e-10)


@every_kind
@quick
@given(batch=inputs())
def test_weights_sum_to_one_or_to_zero_where_nothing_is_valid(kind: str, batch: Inputs) -> None:
    output = _build(kind)(*batch)
    for weights, keep in (
        (output.word_weights, batch[1]),
        (output.region_weights, batch[3].unsqueeze(1).expand(output.region_weights.shape)),
    ):
        assert (weights >= 0).all()
        assert not weights[~keep].any()
        torch.testing.assert_close(weights.sum(-1), keep.any(-1).double(), rtol=0, atol=1e-10)


@padding_safe
@quick
@given(batch=inputs(), padding=st.tuples(st.integers(0, 3), st.integers(0, 3)), size=st.sampled_from([0.0, 1.0, 1e3]))
def test_padding_on_either_side_changes_neither_summary(
    kind: str, batch: Inputs, padding: tuple[int, int], size: float
) -> None:
    words, word_keep, regions, region_keep = batch

    def pad(items: Tensor, keep: Tensor, rows: int) -> tuple[Tensor, Tensor]:
        extra = size * _draw(*items.shape[:-2], rows, DIM, seed=7)
        return torch.cat([items, extra], -2), torch.cat([keep, torch.zeros(*keep.shape[:-1], rows) > 0], -1)

    module = _build(kind)
    padded = module(*pad(words, word_keep, padding[0]), *pad(regions, region_keep, padding[1]))
    cut = padded._replace(
        word_weights=padded.word_weights[..., : words.shape[2]],
        region_weights=padded.region_weights[..., : regions.shape[1]],
    )
    _assert_same(cut, module(*batch))


def test_without_the_mask_on_the_affinity_padding_leaks_unless_it_is_zero() -> None:
    module = _build("parallel, as in the code")
    words, regions, keep = _draw(1, 1, 3, DIM), _draw(1, 2, DIM, seed=1), torch.tensor([[[True, True, False]]])
    all_regions = torch.ones(1, 2, dtype=torch.bool)
    alone = module(words[:, :, :2], keep[:, :, :2], regions, all_regions)
    assert not torch.allclose(module(words, keep, regions, all_regions).region_weights, alone.region_weights, atol=1e-4)
    paper = ParallelCoAttention(
        DIM, HIDDEN, mask_affinity=False
    ).double()  # no bias, so that a zero row has zero affinity
    words[:, :, 2] = 0
    torch.testing.assert_close(
        paper(words, keep, regions, all_regions).region_weights,
        paper(words[:, :, :2], keep[:, :, :2], regions, all_regions).region_weights,
    )


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
    module = _build(kind)
    plain = module(*batch)
    permuted = module(
        words[:, :, word_order], word_keep[:, :, word_order], regions[:, region_order], region_keep[:, region_order]
    )
    expected = plain._replace(
        word_weights=plain.word_weights[..., word_order], region_weights=plain.region_weights[..., region_order]
    )
    _assert_same(permuted, expected)


@every_kind
@quick
@given(batch=inputs())
def test_an_example_comes_out_the_same_alone_and_in_a_batch(kind: str, batch: Inputs) -> None:
    module = _build(kind)
    together = module(*batch)
    for index in range(len(batch[0])):
        alone = module(*(tensor[index : index + 1] for tensor in batch))
        _assert_same(alone, CoAttentionOutput(*(tensor[index : index + 1] for tensor in together[:4])))


@every_kind
@quick
@given(batch=inputs())
def test_a_question_comes_out_the_same_alone_and_among_others_about_the_picture(kind: str, batch: Inputs) -> None:
    module = _build(kind)
    together = module(*batch)
    words, word_keep, *picture = batch
    for index in range(words.shape[1]):
        alone = module(words[:, index : index + 1], word_keep[:, index : index + 1], *picture)
        _assert_same(alone, CoAttentionOutput(*(tensor[:, index : index + 1] for tensor in together[:4])))


@every_kind
def test_a_single_word_and_a_single_region_are_the_summaries(kind: str) -> None:
    words, regions, keep = _draw(2, 3, 1, DIM), _draw(2, 1, DIM, seed=1), torch.ones(2, 3, 1) > 0
    output = _build(kind)(words, keep, regions, keep[:, 0])
    torch.testing.assert_close(output.words, words.squeeze(2))
    torch.testing.assert_close(output.regions, regions.expand(2, 3, DIM))


@every_kind
def test_identical_words_and_identical_regions_get_uniform_weights(kind: str) -> None:
    words, regions = _draw(2, 1, 1, DIM).expand(-1, -1, 5, -1), _draw(2, 1, DIM, seed=1).expand(-1, 4, -1)
    output = _build(kind)(words, torch.ones(2, 1, 5) > 0, regions, torch.ones(2, 4) > 0)
    torch.testing.assert_close(output.word_weights, torch.full((2, 1, 5), 1 / 5).double())
    torch.testing.assert_close(output.region_weights, torch.full((2, 1, 4), 1 / 4).double())


@every_kind
def test_gradients_are_right_with_masks_and_a_picture_with_nothing_valid(kind: str) -> None:
    module = _build(kind)
    words, regions = _draw(2, 2, 3, DIM).requires_grad_(), _draw(2, 4, DIM, seed=1).requires_grad_()
    word_keep = torch.tensor([[[True, True, False], [True, False, False]], [[True] * 3, [False] * 3]])
    region_keep = torch.tensor([[True, False, True, True], [False] * 4])
    assert gradcheck(lambda q, v: module(q, word_keep, v, region_keep)[:4], (words, regions))
    sum(tensor.sum() for tensor in module(words, word_keep, regions, region_keep)[:4]).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@every_kind
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)])
def test_lower_precision_stays_finite_and_close(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    module = _build(kind)
    for parameter in module.parameters():
        parameter.data.copy_(parameter.data.to(dtype))
    words, regions = (0.5 * _draw(2, 1, 3, DIM)).to(dtype), (0.5 * _draw(2, 4, DIM, seed=1)).to(dtype)
    word_keep = torch.tensor([[[True, True, False]], [[False] * 3]])
    region_keep = torch.tensor([[True, False, True, True], [False] * 4])
    exact = module(words.double(), word_keep, regions.double(), region_keep)
    for low, high in zip(module.to(dtype)(words, word_keep, regions, region_keep)[:4], exact[:4], strict=True):
        torch.testing.assert_close(low.double(), high, rtol=0, atol=tolerance)


@every_kind
def test_dropout_is_on_in_training_and_off_at_inference(kind: str) -> None:
    torch.manual_seed(0)
    variant = "code" if "code" in kind else "paper"
    module = type(_build(kind))(DIM, 16, dropout=0.5, variant=variant).double()
    batch = (_draw(2, 1, 3, DIM), torch.ones(2, 1, 3) > 0, _draw(2, 4, DIM, seed=1), torch.ones(2, 4) > 0)
    module.train()
    assert not torch.equal(module(*batch).word_weights, module(*batch).word_weights)
    module.eval()
    _assert_same(module(*batch), module(*batch))


@pytest.mark.parametrize("kind", [ParallelCoAttention, AlternatingCoAttention])
def test_the_paper_has_no_biases_and_the_code_has_them_everywhere(kind: type[ParallelCoAttention]) -> None:
    def biases(variant: str) -> int:
        return sum(name.endswith("bias") for name, _ in kind(DIM, variant=variant).named_parameters())  # type: ignore[arg-type]

    assert biases("paper") == 0
    assert biases("code") == sum(isinstance(module, torch.nn.Linear) for module in kind(DIM).modules())
    with pytest.raises((ValueError, TypeError), match="'thesis'"):
        kind(DIM, variant="thesis")  # type: ignore[arg-type]


# Parallel


@quick
@given(batch=inputs())
def test_swapping_words_and_regions_swaps_the_summaries(batch: Inputs) -> None:
    module, mirror = ParallelCoAttention(DIM, HIDDEN).double(), ParallelCoAttention(DIM, HIDDEN).double()
    mirror.map_affinity.weight.data = module.map_affinity.weight.data.T
    mirror.map_words.load_state_dict(module.map_regions.state_dict())
    mirror.map_regions.load_state_dict(module.map_words.state_dict())
    mirror.score_words.load_state_dict(module.score_regions.state_dict())
    mirror.score_regions.load_state_dict(module.score_words.state_dict())
    words, word_keep, regions, region_keep = batch[0][:, :1], batch[1][:, :1], batch[2], batch[3]
    mirrored = mirror(regions.unsqueeze(1), region_keep.unsqueeze(1), words.squeeze(1), word_keep.squeeze(1))
    swapped = CoAttentionOutput(mirrored.regions, mirrored.words, mirrored.region_weights, mirrored.word_weights)
    _assert_same(module(words, word_keep, regions, region_keep), swapped)


def test_the_affinity_is_bounded_so_that_a_huge_region_sways_the_words_no_more_than_a_large_one() -> None:
    module = _build("parallel")
    assert isinstance(module, ParallelCoAttention)
    torch.nn.init.zeros_(module.map_regions.weight)  # leaves the affinity as the regions' only way to the words
    torch.nn.init.zeros_(module.map_words.weight)
    with torch.no_grad():
        module.map_words.weight[:, 0] = 1
    words, keep = _draw(1, 1, 4, DIM), torch.ones(1, 1, 4, dtype=torch.bool)
    regions = 1e3 * _draw(1, 2, DIM, seed=1)
    large, huge = (module(words, keep, scale * regions, keep[:, 0, :2]).region_weights for scale in (1, 1e6))
    torch.testing.assert_close(large, huge)


# Alternating


def _first_step(module: CoAttention, batch: Inputs) -> Tensor:
    """The words' summary of step 1, which is what guides the regions."""
    seen: list[Tensor] = []
    hook = module.get_submodule("guided_regions.map_guide").register_forward_hook(
        lambda _, args, __: seen.append(args[0])
    )
    module(*batch)
    hook.remove()
    return seen[0]


@pytest.mark.parametrize("kind", ["alternating", "alternating, as in the code"])
def test_the_first_step_does_not_see_the_picture_and_the_third_does(kind: str) -> None:
    module = _build(kind)
    words, keep = _draw(1, 1, 4, DIM), torch.ones(1, 1, 4, dtype=torch.bool)
    one, other = ((words, keep, _draw(1, 3, DIM, seed=seed), keep[:, 0, :3]) for seed in (1, 2))
    assert torch.equal(_first_step(module, one), _first_step(module, other))
    assert not torch.allclose(module(*one).word_weights, module(*other).word_weights, atol=1e-4)
    assert not torch.allclose(_first_step(module, one), module(*one).words, atol=1e-4)


def test_the_regions_are_guided_by_the_words() -> None:
    module, keep = _build("alternating"), torch.ones(1, 1, 4, dtype=torch.bool)
    regions = _draw(1, 4, DIM, seed=1)
    one, other = (module(_draw(1, 1, 4, DIM, seed=seed), keep, regions, keep[:, 0]).region_weights for seed in (2, 3))
    assert not torch.allclose(one, other, atol=1e-4)
