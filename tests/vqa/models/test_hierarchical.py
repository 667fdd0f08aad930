from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from common.attention import (
    AdditiveScore,
    AlternatingCoAttention,
    Attention,
    BilinearCoAttention,
    Grid,
    GuidedCoAttention,
    ParallelCoAttention,
    QuestionGuided,
    VisualFeatures,
)
from common.encoders import HierarchicalTextEncoder, TextEncoder, TransformerTextEncoder
from common.errors import ConfigError
from tests.common.attention import reference
from vqa.models import HierarchicalCoAttention, QuestionOnly, VQAModel

WORDS, REGIONS, REGION_DIM, DIM, ANSWERS = 9, 6, 5, 4, 7
TEXTS: dict[str, Callable[[], TextEncoder]] = {
    "hierarchical": lambda: HierarchicalTextEncoder(WORDS, DIM),
    "transformer": lambda: TransformerTextEncoder(WORDS, DIM, layers=2, heads=2),
}
CO_ATTENTIONS: dict[str, Callable[..., Any]] = {
    "parallel": lambda dim, **_: ParallelCoAttention(dim),
    "alternating": lambda dim, **_: AlternatingCoAttention(dim),
    "question guided": lambda dim, **widths: QuestionGuided(dim, Attention(AdditiveScore(**widths))),
    "bilinear": lambda dim, **_: BilinearCoAttention(dim, glimpses=2),
    "guided": lambda dim, **_: GuidedCoAttention(dim, layers=1, heads=2),
}
MODELS = [*product(TEXTS, CO_ATTENTIONS)]


def build(text: str, co_attention: str | None, **other: Any) -> VQAModel:
    """A model in float64, its parameters drawn anew; without `co_attention` the one that sees no picture."""
    model: VQAModel = (
        QuestionOnly(ANSWERS, TEXTS[text]())
        if co_attention is None
        else HierarchicalCoAttention(REGION_DIM, ANSWERS, TEXTS[text](), CO_ATTENTIONS[co_attention], **other)
    )
    for name, parameter in model.named_parameters():
        if "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.7)
    return model.double().eval()


def pictures(batch: int = 2) -> VisualFeatures:
    """Pictures of six regions, the last two of the first picture are padding."""
    keep = torch.ones(batch, REGIONS, dtype=torch.bool)
    keep[0, -2:] = False
    view = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(batch, 4)
    return VisualFeatures(torch.randn(batch, REGIONS, REGION_DIM).double(), keep, Grid(2, 3, view))


def questions(batch: int = 2, asked: int = 3, length: int = 5) -> tuple[Tensor, Tensor]:
    """Questions of different lengths."""
    lengths = torch.randint(1, length + 1, (batch, asked, 1))
    lengths[0, 0] = length
    keep = torch.arange(length) < lengths
    return torch.randint(4, WORDS, keep.shape) * keep, keep


@pytest.mark.parametrize(("text", "co_attention"), MODELS)
def test_questions_together_are_the_questions_one_by_one(text: str, co_attention: str) -> None:
    model, features = build(text, co_attention), pictures()
    tokens, keep = questions()
    together = model(features, tokens, keep)
    assert together.region_weights is not None
    assert together.word_weights is not None
    for row, column in product(range(2), range(3)):
        length = int(keep[row, column].sum())
        here = slice(row, row + 1), slice(column, column + 1), slice(length)
        alone = model(features.select(torch.tensor([row])), tokens[here], keep[here])
        torch.testing.assert_close(together.logits[here[:2]], alone.logits)
        torch.testing.assert_close(together.region_weights[here[:2]], alone.region_weights)
        torch.testing.assert_close(together.word_weights[here[:2]][..., :length], alone.word_weights)
        assert together.word_weights[row, column, :, length:].count_nonzero() == 0


@pytest.mark.parametrize(("text", "co_attention"), [*MODELS, ("hierarchical", None), ("transformer", None)])
def test_room_for_further_questions_changes_nothing(text: str, co_attention: str | None) -> None:
    model, features = build(text, co_attention), pictures()
    tokens, keep = questions()
    more = torch.zeros(2, 2, 5, dtype=torch.long)
    padded = model(features, torch.cat([tokens, more], 1), torch.cat([keep, more.bool()], 1))
    torch.testing.assert_close(padded.logits[:, :3], model(features, tokens, keep).logits)
    assert padded.logits.isfinite().all()
    padded.logits[:, :3].sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


@pytest.mark.parametrize(("text", "co_attention"), MODELS)
def test_what_stands_in_padding_regions_and_words_changes_nothing(text: str, co_attention: str) -> None:
    model, features = build(text, co_attention), pictures()
    tokens, keep = questions()
    other = features.values.clone()
    other[0, -2:] = 1e3
    wide = torch.cat([other, torch.full_like(other[:, :1], -50)], 1)
    wide_keep = torch.cat([features.keep, torch.zeros(2, 1, dtype=torch.bool)], 1)
    found = model(VisualFeatures(wide, wide_keep, features.layout), torch.where(keep, tokens, 8), keep)
    expected = model(features, tokens, keep)
    torch.testing.assert_close(found.logits, expected.logits)
    torch.testing.assert_close(found.word_weights, expected.word_weights)
    assert found.region_weights is not None
    torch.testing.assert_close(found.region_weights[..., :REGIONS], expected.region_weights)
    assert found.region_weights[0, ..., 4:].count_nonzero() == found.region_weights[..., REGIONS:].count_nonzero() == 0


@pytest.mark.parametrize(("text", "co_attention"), MODELS)
def test_weights_of_every_level_sum_to_one(text: str, co_attention: str) -> None:
    model = build(text, co_attention)
    output = model(pictures(), *questions())
    for weights in (output.region_weights, output.word_weights):
        assert weights is not None
        assert weights.shape[:3] == (2, 3, len(model.level_names))
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:3], dtype=torch.float64))


@pytest.mark.parametrize("co_attention", ["parallel", "alternating"])
def test_levels_are_joined_by_the_papers_equations(co_attention: str) -> None:
    model, features = build("hierarchical", co_attention, answer_dims=[2, 3, 5]), pictures()
    tokens, keep = questions()
    output = model(features, tokens, keep)
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    with torch.no_grad():
        text = [level.numpy() for level in model.text(tokens.flatten(0, 1), keep.flatten(0, 1)).levels]
    for row, column in product(range(2), range(3)):
        seen = np.tanh(features.values[row].numpy() @ p["embed_regions.0.weight"].T + p["embed_regions.0.bias"])
        keeps = keep[row, column].numpy(), features.keep[row].numpy()
        sums = []
        for level, words in enumerate(text):
            own = {
                name.removeprefix(f"levels.{level}."): value
                for name, value in p.items()
                if name.startswith(f"levels.{level}.")
            }
            attended: Any = (own, words[3 * row + column], keeps[0], seen, keeps[1])
            found = (
                reference.parallel_co_attention(*attended, True)
                if co_attention == "parallel"
                else reference.alternating_co_attention(*attended)
            )
            sums.append(found[0] + found[1])
        recursion = {
            name.removeprefix("recursion."): value for name, value in p.items() if name.startswith("recursion.")
        }
        encoded = reference.recursive_encoding(recursion, sums)
        logits = p["classify.1.weight"] @ encoded + p["classify.1.bias"]
        np.testing.assert_allclose(output.logits[row, column].detach(), logits, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("text", "co_attention"), MODELS)
def test_both_the_picture_and_the_question_matter_and_all_parameters_learn(text: str, co_attention: str) -> None:
    model, features = build(text, co_attention), pictures()
    tokens, keep = questions()
    logits = model(features, tokens, keep).logits
    changed = VisualFeatures(features.values.flip(0), features.keep, features.layout)
    assert not torch.allclose(model(changed, tokens, keep).logits, logits)
    assert not torch.allclose(model(features, (tokens + 1) % WORDS, keep).logits, logits)
    (logits.square().sum() + model(changed, tokens, keep).logits.square().sum()).backward()
    dead = {name for name, each in model.named_parameters() if each.grad is None or not each.grad.any()}
    # the phrases' key bias in a transformer shifts all logits of a softmax alike
    assert not {name for name in dead if "bias" not in name}


@pytest.mark.parametrize("text", TEXTS)
def test_the_model_without_the_picture_gives_one_answer_whatever_it_shows(text: str) -> None:
    model = build(text, None)
    tokens, keep = questions()
    first, second = model(pictures(), tokens, keep), model(pictures(), tokens, keep)
    assert torch.equal(first.logits, second.logits)
    assert first.region_weights is None
    assert first.word_weights is None
    assert (model.kind, model.level_names) == ("none", ())
    alone = model(pictures(), tokens[1:, 1:2, : keep[1, 1].sum()], keep[1:, 1:2, : keep[1, 1].sum()])
    torch.testing.assert_close(first.logits[1, 1], alone.logits[0, 0])


def test_levels_and_kind_have_the_names_of_their_parts() -> None:
    names = {text: build(text, "parallel").level_names for text in TEXTS}
    assert names == {"hierarchical": ("word", "phrase", "question"), "transformer": ("word", "layer 1", "question")}
    kinds = {build("hierarchical", co_attention).kind for co_attention in ("parallel", "alternating")}
    assert kinds == {"parallel co-attention", "alternating co-attention"}


def test_parts_of_the_attention_are_handed_out_at_each_level() -> None:
    model = build("hierarchical", "bilinear")
    output = model(pictures(), *questions())
    assert model.part_axis == "glimpse"
    assert output.region_parts is not None
    assert output.region_parts.shape == (2, 3, 3, 2, REGIONS)
    torch.testing.assert_close(output.region_parts.mean(3), output.region_weights)
    assert build("hierarchical", "parallel")(pictures(), *questions()).region_parts is None


@pytest.mark.parametrize("levels", [["question"], ["question", "word"]])
def test_levels_that_are_named_are_attended_to_in_the_order_of_the_text(levels: list[str]) -> None:
    model = build("hierarchical", "parallel", levels=levels)
    assert isinstance(model, HierarchicalCoAttention)
    assert model.level_names == tuple(sorted(levels, reverse=True))
    assert len(model.levels) == len(model.recursion.layers) == len(levels)
    features, (tokens, keep) = pictures(), questions()
    output = model(features, tokens, keep)
    assert output.region_weights is not None
    assert output.region_weights.shape == (2, 3, len(levels), REGIONS)
    words = dict(zip(model.text.level_names, model.text(tokens.flatten(0, 1), keep.flatten(0, 1)).levels, strict=True))
    regions = model.embed_regions(features.values)
    for index, name in enumerate(model.level_names):
        alone = model.levels[index](words[name].unflatten(0, (2, 3)), keep, regions, features.keep)
        torch.testing.assert_close(output.region_weights[:, :, index], alone.region_weights)


def test_levels_that_the_text_does_not_have_are_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match=r"^levels: the text has no level 'phrases'; did you mean 'phrase'\?$"):
        build("hierarchical", "parallel", levels=["word", "phrases"])
    with pytest.raises(ConfigError, match=r"^levels: name at least one of word, phrase, question$"):
        build("hierarchical", "parallel", levels=[])


def test_each_level_has_weights_of_its_own_and_the_widths_that_are_asked_for() -> None:
    model = build("hierarchical", "parallel", answer_dims=[2, 3, 5])
    assert isinstance(model, HierarchicalCoAttention)
    assert len({id(parameter) for level in model.levels for parameter in level.parameters()}) == 3 * 5
    assert [layer.out_features for layer in model.recursion.layers] == [2, 3, 5]  # type: ignore[union-attr]


def test_widths_that_do_not_fit_the_levels_are_refused() -> None:
    with pytest.raises(ValueError, match="2 answer_dims for the levels word, phrase, question"):
        build("hierarchical", "parallel", answer_dims=[2, 3])


def test_regions_can_be_taken_as_they_are_if_they_are_as_wide_as_the_text() -> None:
    text = HierarchicalTextEncoder(WORDS, REGION_DIM)
    model = HierarchicalCoAttention(REGION_DIM, ANSWERS, text, CO_ATTENTIONS["question guided"], embed_regions=False)
    features = pictures()
    assert model.embed_regions(features.values) is features.values
    assert not any(name.startswith("embed_regions") for name in model.state_dict())
    with pytest.raises(ConfigError, match="the regions are 5 wide; give the text that dim, not 4"):
        build("hierarchical", "parallel", embed_regions=False)


def test_regions_are_told_apart_by_their_places_only_where_these_are_asked_for() -> None:
    features, (tokens, keep) = pictures(), questions()
    same = VisualFeatures(features.values[:, :1].expand_as(features.values), features.keep, features.layout)
    for places in (False, True):
        weights = build("hierarchical", "parallel", places=places)(same, tokens, keep).region_weights
        assert weights is not None
        seen = weights[1].flatten(0, 1)  # of a picture without padding
        assert torch.allclose(seen, seen[:, :1]) is not places
