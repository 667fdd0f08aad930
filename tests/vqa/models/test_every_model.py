from __future__ import annotations

from itertools import product

import pytest
import torch

from common.attention import VisualFeatures
from tests.vqa.models.cases import ANSWERS, MODELS, WORDS, build, facts, pictures, questions, run
from vqa.models import VQAOutput
from vqa.questions import Texts

LENGTHS, NUMBERS = [[4, 2], [1, 3]], [[2, 0], [1, 3]]
every = pytest.mark.parametrize("name", MODELS)


def part(texts: Texts, row: int, column: int) -> Texts:
    """The facts of one question, without room for more."""
    here = slice(row, row + 1), slice(column, column + 1)
    number = max(1, int(texts.keep[here].any(-1).sum()))
    return Texts(texts.tokens[here][:, :, :number], texts.keep[here][:, :, :number])


@every
def test_questions_together_are_the_questions_one_by_one(name: str) -> None:
    model, features, known = build(name), pictures(), facts(NUMBERS)
    tokens, keep = questions(LENGTHS)
    together = run(model, features, tokens, keep, known)
    assert together.logits.shape == (2, 2, ANSWERS)
    for row, column in product(range(2), range(2)):
        length = int(keep[row, column].sum())
        here = slice(row, row + 1), slice(column, column + 1), slice(length)
        alone = run(model, features.select(torch.tensor([row])), tokens[here], keep[here], part(known, row, column))
        for field in VQAOutput._fields:
            whole, single = getattr(together, field), getattr(alone, field)
            assert (whole is None) == (single is None)
            if whole is not None:
                width = single.shape[-1]
                torch.testing.assert_close(whole[here[:2]][..., :width], single)
                assert field == "logits" or not whole[row, column, ..., width:].any()


@every
def test_what_stands_in_padding_changes_nothing(name: str) -> None:
    model, features, known = build(name), pictures(), facts(NUMBERS)
    tokens, keep = questions(LENGTHS)
    expected = run(model, features, tokens, keep, known)
    features.values[0, -2:] = 50
    noise = Texts(torch.where(known.keep, known.tokens, 8), known.keep)
    found = run(model, features, torch.where(keep, tokens, 8), keep, noise)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)
    assert found.region_weights is None or not found.region_weights[0, ..., -2:].any()


@every
def test_weights_sum_to_one_wherever_the_model_looks(name: str) -> None:
    model = build(name)
    output = run(model, pictures(), *questions(LENGTHS), facts([[2, 1], [1, 3]]))
    looks = [getattr(output, field) for field in VQAOutput._fields if field != "logits"]
    for weights in looks:
        if weights is not None:
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1], dtype=torch.float64))
            assert weights.shape[2] == len(model.level_names)
    assert (output.region_weights is None) == (model.kind == "none")
    assert (output.region_parts is None) == (model.part_axis is None)
    assert (output.fact_weights is None) == (not model.reads_facts)
    if output.region_parts is not None:
        torch.testing.assert_close(output.region_parts.mean(3), output.region_weights)


@every
def test_a_picture_without_regions_and_room_for_questions_give_finite_answers_and_gradients(name: str) -> None:
    model, features = build(name), pictures()
    features.keep[1] = False
    tokens, keep = questions([[3, 2, 0], [2, 0, 0]])
    output = run(model, features, tokens, keep, facts([[1, 0, 0], [0, 2, 0]]))
    assert output.logits.isfinite().all()
    assert output.region_weights is None or not output.region_weights[1].any()
    output.logits.square().sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in model.parameters())


@every
def test_picture_question_and_facts_matter_as_the_model_says_and_all_parameters_learn(name: str) -> None:
    model, features, known = build(name), pictures(), facts([[2, 1], [1, 3]])
    tokens, keep = questions(LENGTHS)
    expected = run(model, features, tokens, keep, known).logits
    flipped = VisualFeatures(features.values.flip(0), features.keep, features.layout)
    other = Texts((known.tokens - 3) % (WORDS - 4) + 4, known.keep)
    sees = not torch.allclose(run(model, flipped, tokens, keep, known).logits, expected)
    reads = not torch.allclose(run(model, features, (tokens - 3) % (WORDS - 4) + 4, keep, known).logits, expected)
    knows = not torch.allclose(run(model, features, tokens, keep, other).logits, expected)
    assert (sees, reads, knows) == (name != "question only", name != "image only", model.reads_facts)
    expected.square().sum().backward()
    dead = {part for part, each in model.named_parameters() if each.grad is None or not each.grad.any()}
    # offsets that shift all logits of a softmax alike, and places of facts, which have none
    assert not {each for each in dead if "bias" not in each and not each.startswith("fact_attention.places")}


@pytest.mark.parametrize("name", [name for name in MODELS if "facts" in name])
def test_no_facts_are_an_empty_memory(name: str) -> None:
    model, features = build(name), pictures()
    tokens, keep = questions(LENGTHS)
    none = model(features, tokens, keep)
    assert not none.fact_weights.any()
    empty = facts([[0, 0], [0, 1]])
    empty.keep[:] = False
    found = model(features, tokens, keep, empty)
    torch.testing.assert_close(found.logits, none.logits)
    assert not found.fact_weights.any()


def test_hops_tell_regions_apart_by_their_places_only_where_these_are_asked_for() -> None:
    features, (tokens, keep) = pictures(), questions([[4], [3]])
    same = VisualFeatures(features.values[:, :1].expand_as(features.values), features.keep, features.layout)
    for name, places in (("stacked, lstm", False), ("stacked, places", True)):
        weights = build(name)(same, tokens, keep).region_weights
        assert weights is not None
        seen = weights[1].flatten(0, 1)  # of a picture without padding
        assert torch.allclose(seen, seen[:, :1]) is not places
