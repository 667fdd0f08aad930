from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.typing import NDArray
from torch import Tensor

from common.attention import (
    AlternatingCoAttention,
    CoAttention,
    CoAttentionOutput,
    MultiHead,
    ParallelCoAttention,
    QuestionGuided,
)
from tests.common.attention import reference
from tests.common.attention.cases import quick
from tests.common.attention.co_kinds import DIM, HIDDEN, Inputs, assert_same, build_co_kind, draw, inputs
from tests.common.attention.reference import Array

KINDS = [f"{order}{variant}" for order in ("parallel", "alternating") for variant in ("", ", as in the code")]


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(batch=inputs())
def test_summaries_and_weights_equal_the_loops_of_the_reference(kind: str, batch: Inputs) -> None:
    module = build_co_kind(kind)
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


def test_without_the_mask_on_the_affinity_padding_leaks_unless_it_is_zero() -> None:
    module = build_co_kind("parallel, as in the code")
    words, regions, keep = draw(1, 1, 3, DIM), draw(1, 2, DIM, seed=1), torch.tensor([[[True, True, False]]])
    all_regions = torch.ones(1, 2, dtype=torch.bool)
    alone = module(words[:, :, :2], keep[:, :, :2], regions, all_regions)
    assert not torch.allclose(module(words, keep, regions, all_regions).region_weights, alone.region_weights, atol=1e-4)
    # no bias, so that a zero row has zero affinity
    paper = ParallelCoAttention(DIM, HIDDEN, mask_affinity=False).double()
    words[:, :, 2] = 0
    torch.testing.assert_close(
        paper(words, keep, regions, all_regions).region_weights,
        paper(words[:, :, :2], keep[:, :, :2], regions, all_regions).region_weights,
    )


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
    assert_same(module(words, word_keep, regions, region_keep), swapped)


def test_the_affinity_is_bounded_so_that_a_huge_region_sways_the_words_no_more_than_a_large_one() -> None:
    module = build_co_kind("parallel")
    assert isinstance(module, ParallelCoAttention)
    torch.nn.init.zeros_(module.map_regions.weight)  # leaves the affinity as the regions' only way to the words
    torch.nn.init.zeros_(module.map_words.weight)
    with torch.no_grad():
        module.map_words.weight[:, 0] = 1
    words, keep = draw(1, 1, 4, DIM), torch.ones(1, 1, 4, dtype=torch.bool)
    regions = 1e3 * draw(1, 2, DIM, seed=1)
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
    module = build_co_kind(kind)
    words, keep = draw(1, 1, 4, DIM), torch.ones(1, 1, 4, dtype=torch.bool)
    one, other = ((words, keep, draw(1, 3, DIM, seed=seed), keep[:, 0, :3]) for seed in (1, 2))
    assert torch.equal(_first_step(module, one), _first_step(module, other))
    assert not torch.allclose(module(*one).word_weights, module(*other).word_weights, atol=1e-4)
    assert not torch.allclose(_first_step(module, one), module(*one).words, atol=1e-4)


def test_the_regions_are_guided_by_the_words() -> None:
    module, keep = build_co_kind("alternating"), torch.ones(1, 1, 4, dtype=torch.bool)
    regions = draw(1, 4, DIM, seed=1)
    one, other = (module(draw(1, 1, 4, DIM, seed=seed), keep, regions, keep[:, 0]).region_weights for seed in (2, 3))
    assert not torch.allclose(one, other, atol=1e-4)


# Question guided


def _mean_and_pool(module: QuestionGuided, words: Array, keep: NDArray[np.bool_]) -> tuple[Array, Array]:
    """The question's summary and the words' weights."""
    p = reference.parameters(module.pooling.score)  # type: ignore[arg-type]
    align = reference.ALIGNMENT["additive" if "map_query.weight" in p else "feature"]
    mean = words[keep].mean(0) if keep.any() else np.zeros(DIM)
    context, weights = reference.attention(
        lambda q, k: align(q, k, p), reference.softmax, mean[None], words, words, keep
    )
    return context[0], weights[0]


@pytest.mark.parametrize("kind", ["question guided", "question guided, pooled"])
@quick
@given(batch=inputs())
def test_the_question_summarised_by_the_loops_of_the_reference_looks_at_the_regions(kind: str, batch: Inputs) -> None:
    module = build_co_kind(kind)
    assert isinstance(module, QuestionGuided)
    p = reference.parameters(module.attention.score)  # type: ignore[arg-type]
    output = module(*batch)
    for b, q in np.ndindex(*batch[0].shape[:2]):
        words, word_keep = (tensor[b, q].numpy() for tensor in batch[:2])
        regions, region_keep = (tensor[b].numpy() for tensor in batch[2:])
        summary, word_weights = _mean_and_pool(module, words, word_keep)
        context, weights = reference.attention(
            lambda q, k: reference.ALIGNMENT["additive"](q, k, p),
            reference.softmax,
            summary[None],
            regions,
            regions,
            region_keep,
        )
        for ours, theirs in zip(output[:4], (summary, context[0], word_weights, weights[0]), strict=True):
            np.testing.assert_allclose(ours[b, q].detach().numpy(), theirs, rtol=0, atol=1e-10)


def test_no_look_goes_back_from_the_regions_to_the_words() -> None:
    module = build_co_kind("question guided")
    words, keep = draw(1, 2, 4, DIM), torch.ones(1, 2, 4, dtype=torch.bool)
    one, other = (module(words, keep, draw(1, 3, DIM, seed=seed), keep[:, 0, :3]) for seed in (1, 2))
    assert torch.equal(one.words, other.words)
    assert torch.equal(one.word_weights, other.word_weights)
    assert not torch.allclose(one.region_weights, other.region_weights, atol=1e-4)


def test_a_question_without_words_and_a_picture_without_regions_have_zero_summaries() -> None:
    module = build_co_kind("question guided, pooled")
    nothing = torch.zeros(1, 1, 4, dtype=torch.bool)
    output = module(draw(1, 1, 4, DIM), nothing, draw(1, 4, DIM), nothing[:, 0])
    assert not any(each.any() for each in output[:4])


def test_the_regions_are_prepared_once_for_all_questions_about_the_picture() -> None:
    module = build_co_kind("question guided")
    assert isinstance(module, QuestionGuided)
    seen: list[torch.Size] = []
    module.attention.score.map_key.register_forward_hook(  # type: ignore[union-attr]
        lambda _, args, __: seen.append(args[0].shape)
    )
    module(draw(2, 5, 3, DIM), torch.ones(2, 5, 3) > 0, draw(2, 4, DIM), torch.ones(2, 4) > 0)
    assert seen == [(2, 4, DIM)]


def test_kind_and_parts_are_those_of_its_attention() -> None:
    attention = MultiHead(DIM, DIM, heads=2)
    module = QuestionGuided(DIM, attention).double()
    batch = draw(2, 3, 3, DIM), torch.ones(2, 3, 3) > 0, draw(2, 4, DIM), torch.ones(2, 4) > 0
    assert (module.kind, module.part_axis) == (attention.kind, "head")
    parts = module(*batch).region_parts
    assert parts is not None
    assert parts.shape == (2, 3, 2, 4)
