"""Decoders in small sizes, pictures and captions that the decoders' tests share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from captioning.decoders import (
    AdaptiveAttention,
    AoANet,
    BottomUpTopDown,
    Decoder,
    ShowAttendTell,
    TransformerDecoder,
)
from common.attention import AdditiveScore, Attention, Grid, Hard, MultiHead, VisualFeatures
from common.data.vocabulary import START

WORDS, REGIONS, REGION_DIM = 9, 6, 5


def additive(query_dim: int, key_dim: int) -> Attention:
    return Attention(AdditiveScore(query_dim, key_dim, hidden_dim=3))


def hard(query_dim: int, key_dim: int) -> Attention:
    return Attention(AdditiveScore(query_dim, key_dim, hidden_dim=3), position=Hard(expectation=0.0))


def heads(query_dim: int, key_dim: int) -> MultiHead:
    return MultiHead(query_dim, key_dim, heads=2, join=False)


def _recurrent(kind: type[Any], attention: Any = additive, **settings: Any) -> Decoder[Any]:
    return kind(WORDS, REGION_DIM, attention, **({"embedding_dim": 4, "hidden_dim": 3} | settings))  # type: ignore[no-any-return]


def _aoa_net(attention: Any = heads, **settings: Any) -> Decoder[Any]:
    return _recurrent(AoANet, attention, **({"hidden_dim": 8, "refine_layers": 2} | settings))


def _transformer(**settings: Any) -> Decoder[Any]:
    return TransformerDecoder(WORDS, REGION_DIM, **({"dim": 8, "heads": 2, "layers": 2} | settings))


DECODERS: dict[str, Callable[..., Decoder[Any]]] = {
    "show, attend and tell": partial(_recurrent, ShowAttendTell),
    "show, attend and tell, as released": partial(_recurrent, ShowAttendTell, feature_dim=4, variant="code"),
    "show, attend and tell, hard": partial(_recurrent, ShowAttendTell, hard),
    "adaptive": partial(_recurrent, AdaptiveAttention),
    "adaptive, as released": partial(_recurrent, AdaptiveAttention, variant="code"),
    "bottom-up top-down": partial(_recurrent, BottomUpTopDown),
    "bottom-up top-down, projected, hard": partial(_recurrent, BottomUpTopDown, hard, feature_dim=4),
    "attention on attention": _aoa_net,
    "attention on attention, as released": partial(_aoa_net, variant="code"),
    "transformer": _transformer,
    "memory": partial(_transformer, memory_slots=3),
    "meshed": partial(_transformer, mesh="paper"),
    "meshed memory, as released": partial(_transformer, memory_slots=3, mesh="code"),
}


def stir(decoder: Any) -> Any:
    """The decoder in float64 and evaluation mode, its every parameter such that it matters."""
    for parameter in decoder.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return decoder.double().eval()


def build(name: str, **settings: Any) -> Decoder[Any]:
    return stir(DECODERS[name](**settings))  # type: ignore[no-any-return]


def pictures(batch: int = 2) -> VisualFeatures:
    """Pictures of six regions, the last two of the first picture are padding."""
    keep = torch.ones(batch, REGIONS, dtype=torch.bool)
    keep[0, -2:] = False
    view = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(batch, 4)
    return VisualFeatures(torch.randn(batch, REGIONS, REGION_DIM).double(), keep, Grid(2, 3, view))


def captions(batch: int = 2, sequences: int = 3, length: int = 5) -> tuple[Tensor, Tensor]:
    """Captions of different lengths."""
    tokens = torch.randint(4, WORDS, (batch, sequences, length))
    tokens[..., 0] = START
    lengths = torch.randint(1, length + 1, (batch, sequences, 1))
    return tokens, torch.arange(length) < lengths
