"""Memory networks: several hops over the regions (stacked attention networks), and over facts besides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention import AttentionMechanism, AttentionOutput, StackedAttention, VisualFeatures
from common.encoders import FactEncoder, TextEncoder
from vqa.models.base import VQAModel, VQAOutput, embedded, one_level, region_embedding, summarise
from vqa.questions import Texts

AttentionMaker = Callable[..., AttentionMechanism]


class StackedAttentionNetwork(VQAModel):
    """Stacked attention networks (Yang et al. 2016): the question asks the regions, and what it finds asks again.

        v_i = tanh(W f_i + b),  u^0 = q,  u^k = u^{k-1} + sum_i p^k_i v_i,  logits = W_u u^K

    with q of a `ConvolutionalTextEncoder` or a `RecurrentTextEncoder`, p^k of `StackedAttention`, whose variant "code"
    has the scores of the printed results, and dropout before W_u. Any memory network can take its place.

    Args:
        attention: makes the hops; None takes `StackedAttention`.
        places: adds each region's place to its embedding (`embedded`), for questions of where things are.
    """

    level_names = ("question",)

    def __init__(
        self,
        region_dim: int,
        answers: int,
        text: TextEncoder,
        attention: AttentionMaker | None = None,
        dropout: float = 0.5,
        places: bool = False,
    ) -> None:
        super().__init__()
        self.text = text
        self.places = places
        self.embed_regions = region_embedding(region_dim, text.dim)
        self.attention = (attention or StackedAttention)(query_dim=text.dim, key_dim=text.dim)
        self.kind, self.part_axis = self.attention.kind, self.attention.part_axis
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(text.dim, answers))

    def forward(self, features: VisualFeatures, tokens: Int[Tensor, "B Q T"], keep: Bool[Tensor, "B Q T"]) -> VQAOutput:
        """Logits [B Q A] for the questions [B Q T] about each picture."""
        question = summarise(self.text, tokens, keep)
        regions = embedded(self.embed_regions, features, self.places)
        looked = look_at_regions(self.attention, question, regions, features)
        logits = self.classify(question + looked.context)
        return VQAOutput(logits, one_level(looked.weights), region_parts=one_level(looked.parts))


class FactMemory(VQAModel):
    """A memory network over facts in words and over regions, one after the other.

        v_i = tanh(W f_i + b),  x_j = FactEncoder(fact_j),  u^0 = q
        u^1 = u^0 + read(u^0, first),  u^2 = u^1 + read(u^1, second),  logits = W_u u^2

    where `read` is all hops of a memory network (`EndToEndMemory`, `KeyValueMemory`, `DynamicMemory`, which is DMN+, or
    `StackedAttention`), with weights of its own for facts and regions. Facts are captions of the picture, sentences of
    a knowledge base, or the earlier turns of a dialogue. A question without facts has an empty memory, which adds
    nothing but what the mechanism makes of nothing.

    Args:
        facts: reads the facts; as wide as the text.
        attention: makes the hops over the regions, and over the facts unless told.
        fact_attention: makes the hops over the facts, which have no place on the picture.
        first: "facts", where they tell what to look for, as dialogues do; "regions", where they tell of what is seen,
            as knowledge bases do.
    """

    level_names = ("question",)
    reads_facts = True

    def __init__(
        self,
        region_dim: int,
        answers: int,
        text: TextEncoder,
        facts: FactEncoder,
        attention: AttentionMaker,
        fact_attention: AttentionMaker | None = None,
        first: Literal["facts", "regions"] = "facts",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if facts.dim != text.dim:
            raise ValueError(f"facts are {facts.dim} wide, the question {text.dim}: give both the same dim")
        self.text, self.facts = text, facts
        self.embed_regions = region_embedding(region_dim, text.dim)
        self.attention = attention(query_dim=text.dim, key_dim=text.dim)
        self.fact_attention = (fact_attention or attention)(query_dim=text.dim, key_dim=text.dim)
        self.kind, self.part_axis = self.attention.kind, self.attention.part_axis
        self.facts_first = first == "facts"
        self.shows_fact_parts = self.fact_attention.part_axis == self.part_axis
        self.classify = nn.Sequential(nn.Dropout(dropout), nn.Linear(text.dim, answers))

    def forward(
        self,
        features: VisualFeatures,
        tokens: Int[Tensor, "B Q T"],
        keep: Bool[Tensor, "B Q T"],
        facts: Texts | None = None,
    ) -> VQAOutput:
        """Logits [B Q A] for the questions [B Q T] about each picture, and the facts of each; None: none has any."""
        question = summarise(self.text, tokens, keep)
        regions = self.embed_regions(features.values)
        if facts is None:
            facts = Texts(tokens[..., :1].unsqueeze(3), keep[..., :1].unsqueeze(3) & False)
        if self.facts_first:
            read = self._read(question, facts)
            looked = look_at_regions(self.attention, question + read.context, regions, features)
        else:
            looked = look_at_regions(self.attention, question, regions, features)
            read = self._read(question + looked.context, facts)
        return VQAOutput(
            self.classify(question + looked.context + read.context),
            one_level(looked.weights),
            region_parts=one_level(looked.parts),
            fact_weights=one_level(read.weights),
            fact_parts=one_level(read.parts) if self.shows_fact_parts else None,
        )

    def _read(self, query: Float[Tensor, "B Q D"], facts: Texts) -> AttentionOutput:
        """Each question has a memory of its own: as B * Q examples with one query each."""
        slots = self.facts(facts.tokens.flatten(0, 1), facts.keep.flatten(0, 1))  # [B*Q F D]
        prepared = self.fact_attention.prepare(slots.values, slots.keep)
        read = self.fact_attention(query.flatten(0, 1).unsqueeze(1), prepared)
        shape = query.shape[:2]
        return AttentionOutput(
            read.context.squeeze(1).unflatten(0, shape),
            read.weights.squeeze(1).unflatten(0, shape),
            parts=None if read.parts is None else read.parts.squeeze(1).unflatten(0, shape),
        )


def look_at_regions(
    attention: AttentionMechanism,
    question: Float[Tensor, "B Q D"],
    regions: Float[Tensor, "B R D"],
    features: VisualFeatures,
) -> AttentionOutput:
    """What the question finds in the embedded regions."""
    return attention(question, attention.prepare(regions, features.keep, layout=features.layout))
