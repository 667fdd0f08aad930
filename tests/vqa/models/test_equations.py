"""Each model against its paper's equations, question by question in NumPy; the attention within is tested by itself."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from common.attention import Grid, VisualFeatures
from common.encoders import RecurrentTextEncoder
from tests.common.attention.reference import masked, parameters, softmax
from tests.vqa.models.cases import build, facts, pictures, questions, run
from vqa.models import MeanPooled, VQAModel
from vqa.questions import Texts

Array = NDArray[np.float64]
LENGTHS = [[4, 2], [1, 3]]


def affine(p: dict[str, Array], name: str, x: Array) -> Array:
    return p[f"{name}.weight"] @ x + p[f"{name}.bias"]


def gated(p: dict[str, Array], name: str, x: Array) -> Array:
    return np.tanh(affine(p, f"{name}.map_value", x)) / (1 + np.exp(-affine(p, f"{name}.map_gate", x)))


def within(p: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(f"{prefix}."): value for name, value in p.items() if name.startswith(f"{prefix}.")}


def weighted(weights: Array, items: Array) -> Array:
    return sum((w * x for w, x in zip(weights, items, strict=True)), np.zeros(items.shape[1]))


def stacked(p: dict[str, Array], q: Array, regions: Array, keep: NDArray[np.bool_]) -> Array:
    """Equations 15-20 of stacked attention networks, hop by hop."""
    seen = np.array([np.tanh(affine(p, "embed_regions.0", f)) for f in regions])
    for hop in range(2):
        own = within(p, f"attention.scores.{hop}")
        hidden = [np.tanh(affine(own, "map_key", v) + own["map_query.weight"] @ q) for v in seen]
        q = q + weighted(masked(softmax, np.array([own["vector"] @ h for h in hidden]), keep), seen)
    return affine(p, "classify.1", q)


def glimpses(p: dict[str, Array], q: Array, regions: Array, keep: NDArray[np.bool_]) -> Array:
    unit = np.array([v / np.linalg.norm(v) for v in regions])
    own = within(p, "attention")
    hidden = [np.maximum(affine(own, "map_key", v) + own["map_query.weight"] @ q, 0) for v in unit]
    looks = [masked(softmax, np.array([w @ h for h in hidden]), keep) for w in own["score.weight"]]
    joined = np.concatenate([*(weighted(look, unit) for look in looks), q])
    return affine(p, "classify.4", np.maximum(affine(p, "classify.1", joined), 0))


def bottom_up(p: dict[str, Array], q: Array, regions: Array, keep: NDArray[np.bool_]) -> Array:
    own = within(p, "attention.score")
    logits = []
    for v in regions:
        value, gate = np.split(affine(own, "map_key", v) + own["map_query.weight"] @ q, 2)
        logits.append((own["score.weight"] @ (np.tanh(value) / (1 + np.exp(-gate)))).item())
    seen = weighted(masked(softmax, np.array(logits), keep), regions)
    joint = gated(p, "map_question", q) * gated(p, "map_picture", seen)
    return affine(p, "classify.3", gated(p, "classify.1", joint))


def bottom_up_normalised(p: dict[str, Array], q: Array, regions: Array, keep: NDArray[np.bool_]) -> Array:
    centred = regions - regions.mean(1, keepdims=True)
    return bottom_up(p, q, centred / np.sqrt(centred.var(1, keepdims=True) + 1e-5), keep)


def mean_pooled(p: dict[str, Array], q: Array, regions: Array, keep: NDArray[np.bool_]) -> Array:
    mean = np.mean(regions[keep], axis=0)
    joint = np.tanh(affine(p, "map_question", q)) * np.tanh(affine(p, "map_picture", mean / np.linalg.norm(mean)))
    return affine(p, "classify.4", np.tanh(affine(p, "classify.1", joint)))


EQUATIONS: dict[str, Any] = {
    "stacked, lstm": stacked,
    "glimpses": glimpses,
    "bottom-up": bottom_up,
    "bottom-up, normalised": bottom_up_normalised,
    "mean pooled": mean_pooled,
    "question only": lambda p, q, regions, keep: affine(p, "classify.1", q),
    "image only": lambda p, q, regions, keep: affine(p, "classify.1", np.mean(regions[keep], axis=0)),
}


def summaries(model: VQAModel, tokens: torch.Tensor, keep: torch.Tensor) -> Array:
    if not hasattr(model, "text"):
        return np.zeros((*keep.shape[:2], 1))
    text: Any = model.text
    return text.summary(text(tokens.flatten(0, 1), keep.flatten(0, 1))).unflatten(0, keep.shape[:2]).detach().numpy()


@pytest.mark.parametrize("name", EQUATIONS)
def test_logits_are_those_of_the_papers_equations(name: str) -> None:
    model, features = build(name), pictures()
    tokens, keep = questions(LENGTHS)
    logits, p, asked = model(features, tokens, keep).logits, parameters(model), summaries(model, tokens, keep)
    for row, column in product(range(2), range(2)):
        found = EQUATIONS[name](p, asked[row, column], features.values[row].numpy(), features.keep[row].numpy())
        np.testing.assert_allclose(logits[row, column].detach(), found, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["bilinear", "mcan"])
def test_both_summaries_of_the_co_attention_are_added_up_and_classified(name: str) -> None:
    model: Any = build(name)
    features, (tokens, keep) = pictures(), questions(LENGTHS)
    output, p = model(features, tokens, keep), parameters(model)
    words = model.text(tokens.flatten(0, 1), keep.flatten(0, 1)).levels[-1].unflatten(0, (2, 2))
    regions = features.values if name == "bilinear" else model.embed_regions(features.values)
    attended = model.attention(words, keep, regions, features.keep)
    torch.testing.assert_close(output.region_weights.squeeze(2), attended.region_weights)
    torch.testing.assert_close(output.word_weights.squeeze(2), attended.word_weights)
    for row, column in product(range(2), range(2)):
        fused = (attended.words + attended.regions)[row, column].detach().numpy()
        if name == "bilinear":
            expected = affine(p, "map_answers.4", np.maximum(affine(p, "map_answers.1", fused), 0))
        else:
            assert fused.shape == (8,)  # twice the words' width, as in the paper
            spread = np.sqrt(fused.var() + 1e-5)
            normed = p["norm.weight"] * (fused - fused.mean()) / spread + p["norm.bias"]
            expected = affine(p, "map_answers", normed)
        np.testing.assert_allclose(output.logits[row, column].detach(), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["stacked over facts", "end-to-end over facts"])
def test_what_the_first_memory_brings_asks_the_second(name: str) -> None:
    model: Any = build(name)
    features, (tokens, keep), known = pictures(), questions(LENGTHS), facts([[2, 1], [1, 3]])
    output, p = run(model, features, tokens, keep, known), parameters(model)
    asked = torch.as_tensor(summaries(model, tokens, keep))
    seen = torch.tanh(model.embed_regions[0](features.values))
    for row, column in product(range(2), range(2)):
        slots = model.facts(known.tokens[row, column : column + 1], known.keep[row, column : column + 1])
        of_facts = model.fact_attention.prepare(slots.values, slots.keep)
        picture = features.select(torch.tensor([row]))
        of_regions = model.attention.prepare(seen[row : row + 1], picture.keep, layout=picture.layout)
        memories = [(model.fact_attention, of_facts), (model.attention, of_regions)]
        state = asked[row : row + 1, column : column + 1]
        for memory, prepared in memories if model.facts_first else memories[::-1]:
            state = state + memory(state, prepared).context
        expected = affine(p, "classify.1", state[0, 0].detach().numpy())
        np.testing.assert_allclose(output.logits[row, column].detach(), expected, rtol=0, atol=1e-10)


def test_a_fact_that_fits_the_question_is_found_by_training() -> None:
    """Which of two facts holds the answer is said by the question's first word, as that of the fact is the same."""
    torch.manual_seed(0)
    model: Any = build("end-to-end over facts").float().train()
    features = VisualFeatures(torch.zeros(1, 6, 5), torch.zeros(1, 6, dtype=torch.bool), pictures(1).layout)
    subjects, values = torch.tensor([4, 5]), torch.tensor([6, 7, 8])
    cases = [(s, a, b) for s in range(2) for a in range(3) for b in range(3)]
    tokens = torch.tensor([[[subjects[s]] for s, _, _ in cases]])
    told = torch.tensor([[[[subjects[0], values[a]], [subjects[1], values[b]]] for _, a, b in cases]])
    right = torch.tensor([(a, b)[s] for s, a, b in cases])
    optimiser = torch.optim.Adam(model.parameters(), 0.03)
    for _ in range(150):
        output = model(features, tokens, tokens > 0, Texts(told, told > 0))
        loss = torch.nn.functional.cross_entropy(output.logits[0], right)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert (output.logits[0].argmax(-1) == right).float().mean() > 0.95


def test_mean_pooling_begins_with_a_picture_that_is_not_next_to_nothing() -> None:
    torch.manual_seed(0)
    made = MeanPooled(300, 7, RecurrentTextEncoder(9, 8), hidden_dim=200)
    view = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(4, 4)
    features = VisualFeatures(torch.randn(4, 6, 300), torch.ones(4, 6, dtype=torch.bool), Grid(2, 3, view))
    seen = torch.tanh(made.map_picture(torch.nn.functional.normalize(features.mean(), dim=-1)))
    assert 0.6 < seen.detach().square().mean().sqrt().item() < 0.85
