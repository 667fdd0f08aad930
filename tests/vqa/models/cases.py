"""Every VQA model in a small size, for what holds of all of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from common.attention import (
    BilinearCoAttention,
    DynamicMemory,
    EndToEndMemory,
    Grid,
    GuidedCoAttention,
    KeyValueMemory,
    ParallelCoAttention,
    StackedAttention,
    VisualFeatures,
)
from common.encoders import (
    ConvolutionalTextEncoder,
    FactEncoder,
    HierarchicalTextEncoder,
    PositionalTextEncoder,
    RecurrentTextEncoder,
)
from vqa.models import (
    BilinearAttentionNetwork,
    BottomUpTopDown,
    FactMemory,
    HierarchicalCoAttention,
    ImageOnly,
    MeanPooled,
    ModularCoAttentionNetwork,
    QuestionOnly,
    ShowAskAttendAnswer,
    StackedAttentionNetwork,
    VQAModel,
)
from vqa.questions import Texts

WORDS, REGIONS, REGION_DIM, DIM, ANSWERS = 9, 6, 5, 4, 7
SIZES = (REGION_DIM, ANSWERS)


def lstm() -> RecurrentTextEncoder:
    return RecurrentTextEncoder(WORDS, DIM, embedding_dim=3)


def gru() -> RecurrentTextEncoder:
    return RecurrentTextEncoder(WORDS, DIM, embedding_dim=3, cell="gru")


def bilinear(dim: int, query_dim: int, key_dim: int) -> BilinearCoAttention:
    return BilinearCoAttention(dim, glimpses=2, hidden_dim=3, key_dim=key_dim)


def guided(dim: int, query_dim: int, key_dim: int, **other: Any) -> GuidedCoAttention:
    return GuidedCoAttention(dim, layers=2, heads=2, dropout=0.0, **other)


def with_facts(kind: Callable[..., Any], **other: Any) -> FactMemory:
    return FactMemory(*SIZES, lstm(), FactEncoder(WORDS, DIM, facts=8), kind, **other)


MODELS: dict[str, Callable[[], VQAModel]] = {
    "hierarchical": lambda: HierarchicalCoAttention(
        *SIZES, HierarchicalTextEncoder(WORDS, DIM, layers=1), lambda dim, query_dim, key_dim: ParallelCoAttention(dim)
    ),
    "stacked, lstm": lambda: StackedAttentionNetwork(*SIZES, lstm()),
    "stacked, places": lambda: StackedAttentionNetwork(*SIZES, lstm(), places=True),
    "stacked, cnn, code": lambda: StackedAttentionNetwork(
        *SIZES,
        ConvolutionalTextEncoder(WORDS, (1, 2, 1), embedding_dim=3),
        partial(StackedAttention, hops=3, hidden_dim=5, variant="code"),
    ),
    "glimpses": lambda: ShowAskAttendAnswer(*SIZES, lstm(), glimpses=2, attention_dim=5, hidden_dim=6),
    "bottom-up": lambda: BottomUpTopDown(*SIZES, gru(), hidden_dim=5),
    "bottom-up, normalised": lambda: BottomUpTopDown(*SIZES, gru(), hidden_dim=5, normalise=True),
    "bilinear": lambda: BilinearAttentionNetwork(*SIZES, gru(), bilinear),
    "mcan": lambda: ModularCoAttentionNetwork(*SIZES, lstm(), partial(guided, summary_dim=8)),
    "mcan, stacking, without recurrence": lambda: ModularCoAttentionNetwork(
        *SIZES, PositionalTextEncoder(WORDS, DIM), partial(guided, order="stacking", glimpses=2)
    ),
    "stacked over facts": lambda: with_facts(StackedAttention),
    "end-to-end over facts": lambda: with_facts(partial(EndToEndMemory, hops=2), first="regions"),
    "key-value over facts": lambda: with_facts(
        partial(KeyValueMemory, key="place"), fact_attention=partial(KeyValueMemory, key="region")
    ),
    "dynamic over facts": lambda: with_facts(partial(DynamicMemory, hops=2, hidden_dim=5)),
    "question only": lambda: QuestionOnly(ANSWERS, lstm()),
    "image only": lambda: ImageOnly(*SIZES),
    "mean pooled": lambda: MeanPooled(*SIZES, lstm(), hidden_dim=6),
}


def build(name: str) -> VQAModel:
    """A model in float64, its parameters drawn anew but always the same."""
    torch.manual_seed(0)
    model = MODELS[name]()
    for part, parameter in model.named_parameters():
        if "norm" not in part:
            torch.nn.init.normal_(parameter, std=0.7)
    return model.double().eval()


def pictures(batch: int = 2) -> VisualFeatures:
    """Pictures of six regions, the last two of the first picture are padding."""
    keep = torch.ones(batch, REGIONS, dtype=torch.bool)
    keep[0, -2:] = False
    view = torch.tensor([0.0, 0.0, 1.0, 1.0]).double().expand(batch, 4)
    return VisualFeatures(torch.randn(batch, REGIONS, REGION_DIM).double(), keep, Grid(2, 3, view))


def questions(lengths: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Random questions of these numbers of words."""
    keep = torch.arange(max(map(max, lengths))) < torch.tensor(lengths).unsqueeze(-1)
    return torch.randint(4, WORDS, keep.shape) * keep, keep


def facts(numbers: list[list[int]], longest: int = 3) -> Texts:
    """So many facts of one to three words for each question."""
    there = torch.arange(max(map(max, numbers))) < torch.tensor(numbers).unsqueeze(-1)  # [B Q F]
    lengths = torch.randint(1, longest + 1, there.shape) * there
    keep = torch.arange(longest) < lengths.unsqueeze(-1)
    return Texts(torch.randint(4, WORDS, keep.shape) * keep, keep)


def run(model: VQAModel, features: VisualFeatures, tokens: Tensor, keep: Tensor, known: Texts) -> Any:
    """The output, with the facts for a model that reads them."""
    return model(features, tokens, keep, known) if model.reads_facts else model(features, tokens, keep)
