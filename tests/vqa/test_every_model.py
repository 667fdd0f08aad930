"""Every VQA model on grids and on boxes: one training step, and answers to questions of every kind."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from common.attention import Boxes, Grid, Words
from common.training.parts import Part
from tests.vqa import recipes
from vqa.questions import Question

ODD = [
    "why?",
    " ".join(["is there a red circle or"] * 34),
    "what is the zeppelin's flurble?",
    "какого цвета круг?",
    "画像",
]
FACTS = ("The circle is red.", "Мяч", "squares are blue")


def part(path: str, **init_args: Any) -> Part:
    return {"class_path": path, "init_args": init_args}


def memory(kind: str, **init_args: Any) -> dict[str, Any]:
    facts, attention = part("common.encoders.FactEncoder", dim=12), part(f"common.attention.{kind}", **init_args)
    return {"model": part("vqa.models.FactMemory", facts=facts, attention=attention), "co_attention": None}


LSTM = part("common.encoders.RecurrentTextEncoder", dim=12, embedding_dim=8)
BINARY = part("vqa.objectives.BinaryCrossEntropy")
HOPS = part("common.attention.StackedAttention", hidden_dim=8)
RECIPES: dict[str, dict[str, Any]] = {
    "hierarchical": {"text": recipes.LEVELS},
    "stacked": {
        "text": part("common.encoders.ConvolutionalTextEncoder", dims=[4, 4, 4], embedding_dim=8),
        "model": part("vqa.models.StackedAttentionNetwork", attention=HOPS),
        "objective": part("vqa.objectives.SampledCrossEntropy"),
    },
    "glimpses": {"model": part("vqa.models.ShowAskAttendAnswer", attention_dim=8, hidden_dim=8)},
    "bottom-up": {"model": part("vqa.models.BottomUpTopDown", hidden_dim=8), "objective": BINARY},
    "bilinear": {
        "model": part("vqa.models.BilinearAttentionNetwork"),
        "co_attention": recipes.BILINEAR,
        "objective": BINARY,
    },
    "mcan": {
        "text": part("common.encoders.PositionalTextEncoder", dim=12),
        "model": part("vqa.models.ModularCoAttentionNetwork"),
        "co_attention": part("common.attention.GuidedCoAttention", layers=2, heads=2, summary_dim=16),
        "objective": BINARY,
    },
    "end-to-end": memory("EndToEndMemory", hops=2),
    "key-value": memory("KeyValueMemory"),
    "dynamic": memory("DynamicMemory", hops=2, hidden_dim=8),
    "question only": {"model": recipes.BLIND},
    "image only": {"model": part("vqa.models.ImageOnly")},
    "mean pooled": {"model": part("vqa.models.MeanPooled", hidden_dim=8)},
    "written": {"objective": part("vqa.heads.GeneratedAnswer", dim=8, beam=2), "model": recipes.ONE_LEVEL},
}


@pytest.mark.parametrize("encoder", [recipes.GRID, recipes.BOXES], ids=["grid", "boxes"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_model_is_trained_and_answers_whatever_it_is_asked(scenes: str, name: str, encoder: Part) -> None:
    made, source = recipes.attached(scenes, **({"text": LSTM, "encoder": encoder} | RECIPES[name]))
    pictures = source.items("val")[:2]
    batch = source.collate("train", source.visual, made.words.words)(pictures)
    (loss, *_) = recipes.overfit(made, batch, steps=1)
    assert 0 < loss < 100
    visual = made.features(batch.visual)
    visual.keep[1] = False  # a picture without regions
    found = made.answer(visual, [[Question(text, FACTS[:number]) for number, text in enumerate(ODD[:4])], ODD])
    assert [len(row) for row in found] == [4, 5]
    for number, prediction in enumerate(found[0]):
        assert 0 < prediction.score <= 1
        assert ("image" in prediction.maps) == (made.model.kind != "none")
        assert ("facts" in prediction.maps) == (made.model.reads_facts and number > 0)
        if "facts" in prediction.maps:
            facts = prediction.maps["facts"]
            assert (facts.key_layout, facts.axes) == (Words(FACTS[:number]), ("level", "fact"))
            torch.testing.assert_close(facts.weights.sum(-1), torch.ones(1))
            assert prediction.maps["facts, parts"].axes == ("hop", "level", "fact")
        if "image" in prediction.maps:
            layout = prediction.maps["image"].key_layout
            assert isinstance(layout, Grid if encoder is recipes.GRID else Boxes)
            torch.testing.assert_close(
                prediction.maps["image"].weights.sum(-1), torch.ones(len(made.model.level_names))
            )
    assert all(not each.maps["image"].weights.any() for each in found[1] if "image" in each.maps)
