"""Every alignment, distribution and position as a config file names it, in a captioner and in a VQA model."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from captioning.decoders import Decoder
from common.attention import AttentionMechanism, Boxes, CoAttention, Grid, VisualFeatures
from common.data.vocabulary import START
from common.encoders import TextEncoder
from common.errors import ConfigError
from common.search import Search, beam_search
from common.training.parts import Part, build
from vqa.models import VQAModel

WORDS, REGIONS, REGION_DIM, DIM, ANSWERS = 9, 6, 5, 8, 7

ALIGNMENTS = {
    "dot": "{class_path: common.attention.DotScore}",
    "scaled dot": "{class_path: common.attention.ScaledDotScore}",
    "general": "{class_path: common.attention.GeneralScore}",
    "biased general": "{class_path: common.attention.GeneralScore, init_args: {bias: true}}",
    "activated general": "{class_path: common.attention.ActivatedGeneralScore, init_args: {activation: tanh}}",
    "additive": "{class_path: common.attention.AdditiveScore, init_args: {hidden_dim: 6}}",
    "concat": "{class_path: common.attention.ConcatScore, init_args: {hidden_dim: 6}}",
    "deep": "{class_path: common.attention.DeepScore, init_args: {hidden_dim: 6, layers: 2}}",
    "cosine": "{class_path: common.attention.CosineScore, init_args: {sharpness: 5.0}}",
    "location": "{class_path: common.attention.LocationScore, init_args: {positions: 6}}",
    "feature": "{class_path: common.attention.FeatureScore, init_args: {hidden_dim: 6}}",
}
DISTRIBUTIONS = {
    name.lower(): f"{{class_path: common.attention.{name}, init_args: {{temperature: 0.5}}}}"
    for name in ("Softmax", "Sparsemax", "Entmax15", "Sigmoid")
}
POSITIONS = {
    "soft": "{class_path: common.attention.Soft}",
    "hard": "{class_path: common.attention.Hard, init_args: {expectation: 0.0, inference: argmax}}",
    "straight through": "{class_path: common.attention.GumbelStraightThrough, init_args: {temperature: 0.7}}",
    "local monotonic": "{class_path: common.attention.LocalMonotonic, init_args: {window: 1, radius: 0.3}}",
    "local predictive": (
        "{class_path: common.attention.LocalPredictive, init_args: {hidden_dim: 6, window: 1, radius: 0.3}}"
    ),
}
LAYOUTS: dict[str, Grid | Boxes] = {
    "grid": Grid(2, 3, torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(2, 4)),
    "boxes": Boxes(torch.tensor([0.3, 0.3, 0.6, 0.6]).expand(2, REGIONS, 4)),
}
GENERAL = ALIGNMENTS["general"]
# As the config files' attention: {class_path: common.attention.Attention, init_args: {...}}
RECIPES = {
    **{name: f"{{score: {score}}}" for name, score in ALIGNMENTS.items()},
    **{name: f"{{score: {GENERAL}, distribution: {distribution}}}" for name, distribution in DISTRIBUTIONS.items()},
    **{name: f"{{score: {GENERAL}, position: {position}}}" for name, position in POSITIONS.items()},
}
# Places matter to positions alone
every_recipe = pytest.mark.parametrize(
    ("name", "layout"), [*product(RECIPES, ["grid"]), *product(POSITIONS, ["boxes"])], ids=" on ".join
)


def _attention(settings: str) -> Part:
    return {"class_path": "common.attention.Attention", "init_args": yaml.safe_load(settings)}


def _captioner(attention: Part) -> Decoder[Any]:
    decoder: Part = {
        "class_path": "captioning.decoders.ShowAttendTell",
        "init_args": {"embedding_dim": 4, "hidden_dim": DIM, "feature_dim": DIM, "dropout": 0.0},
    }
    factory = partial(build, attention, AttentionMechanism)
    return build(decoder, Decoder, vocabulary_size=WORDS, region_dim=REGION_DIM, attention=factory)


def _vqa(attention: Part) -> VQAModel:
    text: Part = {
        "class_path": "common.encoders.HierarchicalTextEncoder",
        "init_args": {"dim": DIM, "layers": 1, "dropout": 0.0},
    }
    model: Part = {
        "class_path": "vqa.models.HierarchicalCoAttention",
        "init_args": {"levels": ["question"], "dropout": 0.0},
    }
    guided: Part = {"class_path": "common.attention.QuestionGuided", "init_args": {"attention": attention}}  # type: ignore[dict-item]
    return build(
        model,
        VQAModel,
        region_dim=REGION_DIM,
        answers=ANSWERS,
        text=build(text, TextEncoder, vocabulary_size=WORDS),
        co_attention=partial(build, guided, CoAttention),
    )


def _features(layout: Grid | Boxes) -> VisualFeatures:
    keep = torch.ones(2, REGIONS, dtype=torch.bool)
    keep[0, 4:] = False
    return VisualFeatures(torch.randn(2, REGIONS, REGION_DIM), keep, layout)


def _texts() -> tuple[torch.Tensor, torch.Tensor]:
    keep = torch.tensor([[[1, 1, 1, 1], [1, 1, 0, 0]], [[1, 1, 1, 0], [1, 1, 1, 1]]], dtype=torch.bool)
    return torch.randint(4, WORDS, (2, 2, 4)) * keep, keep


def _assert_all_learn(attention: nn.Module) -> None:
    for name, parameter in attention.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@every_recipe
def test_a_captioner_learns_and_writes_with_it(name: str, layout: str) -> None:
    decoder, features, (tokens, keep) = _captioner(_attention(RECIPES[name])), _features(LAYOUTS[layout]), _texts()
    tokens[..., 0] = START
    output = decoder(features, tokens, keep)
    loss = -output.log_probs[:, 4].mean()
    if output.attention_log_prob is not None:
        loss = loss - output.attention_log_prob.mean()
    loss.backward()
    _assert_all_learn(decoder.get_submodule("attention"))
    hypotheses = beam_search(decoder.eval(), features, Search(beam=2, longest=4))
    weights = hypotheses[0][0].weights
    assert weights.isfinite().all()
    assert not weights[:, 4:].any()  # those regions are padding


@every_recipe
def test_a_vqa_model_learns_and_answers_with_it(name: str, layout: str) -> None:
    model, features = _vqa(_attention(RECIPES[name])), _features(LAYOUTS[layout])
    output = model(features, *_texts())
    output.logits[..., 0].sum().backward()
    assert output.region_weights is not None
    assert output.region_weights.isfinite().all()
    assert not output.region_weights[0, ..., 4:].any()
    if name != "hard":  # its score learns from log_prob, which no VQA objective has
        _assert_all_learn(model.get_submodule("levels.0.attention"))


@pytest.mark.parametrize("distribution", ["softmax", "sparsemax", "entmax15"])
def test_a_low_temperature_sharpens_the_look(distribution: str) -> None:
    def largest(temperature: float) -> float:
        torch.manual_seed(0)
        recipe = yaml.safe_load(RECIPES[distribution])
        recipe["distribution"]["init_args"]["temperature"] = temperature
        decoder = _captioner({"class_path": "common.attention.Attention", "init_args": recipe})
        nn.init.normal_(decoder.get_parameter("attention.score.map_query.weight"), std=0.3)
        weights = decoder(_features(LAYOUTS["grid"]), *_texts()).weights
        return weights.amax(-1).mean().item()

    assert largest(0.1) > largest(1.0) > largest(10.0)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("{score: %s, position: {class_path: common.attention.Hard}, distribution: %s}", "Hard draws one position"),
        (
            "{score: %s, position: {class_path: common.attention.GumbelStraightThrough}, distribution: %s}",
            "GumbelStraightThrough draws one position",
        ),
        (
            "{score: %s, distribution: %s, position: {class_path: common.attention.LocalPredictive, "
            "init_args: {window: 0}}}",
            "LocalPredictive learns where to look",
        ),
    ],
)
def test_what_cannot_be_put_together_is_refused_with_the_reason(settings: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        _captioner(_attention(settings % (GENERAL, DISTRIBUTIONS["sigmoid"])))


def test_scores_without_weights_say_what_to_take_where_widths_differ() -> None:
    decoder: Part = {"class_path": "captioning.decoders.ShowAttendTell", "init_args": {"hidden_dim": DIM}}
    factory = partial(build, _attention(RECIPES["dot"]), AttentionMechanism)
    with pytest.raises(ConfigError, match="use GeneralScore"):
        build(decoder, Decoder, vocabulary_size=WORDS, region_dim=REGION_DIM, attention=factory)
