"""Memory networks: a query that looks several times, each look (hop) asking with what the looks before brought.

Every mechanism here keeps one convention. u^0 is the query q, mapped to the keys' width by a matrix if it has another.
The context is u^K - u^0, so that a model that adds the question to the context, as those here do, has u^K exactly, from
which the papers answer. `parts` are the weights of each hop; `weights` is their mean, not the last hop's: the context
holds what every hop has read, and where hops simply add up (u^k = u^{k-1} + o^k) the mean is each region's share in it.

Shapes: B examples, Q queries each, N slots (regions or facts) of width D, K hops.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from common.attention.distributions import Distribution, Softmax
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import AttentionMechanism, AttentionOutput, Prepared, expected_value
from common.attention.places import CORNER_DIM, corner_features
from common.attention.scores import AdditiveScore, Score


class MemoryNetwork(AttentionMechanism[Prepared]):
    """K hops over the same slots, and the module's convention of what they return.

    Raises:
        ValueError: there is no hop.
    """

    part_axis = "hop"

    def __init__(self, query_dim: int, key_dim: int, hops: int, distribution: Distribution | None = None) -> None:
        super().__init__()
        if hops < 1:
            raise ValueError(f"a memory that is never looked at ({hops} hops) has no weights: take at least one hop")
        self.hops = hops
        self.distribution = distribution or Softmax()
        self.map_query = nn.Identity() if query_dim == key_dim else nn.Linear(query_dim, key_dim, bias=False)

    def forward(self, query: Float[Tensor, "B Q E"], keys: Prepared, step: int = 0) -> AttentionOutput:
        """Context u^K - u^0 [B Q D], mean weights [B Q N] and those of each hop [B Q K N]."""
        question = self.map_query(query)
        memory, hops = self.recall(question, keys)
        parts = torch.stack(hops, 2)
        return AttentionOutput(memory - question, parts.mean(2), parts=parts)

    @abstractmethod
    def recall(
        self, question: Float[Tensor, "B Q D"], prepared: Prepared
    ) -> tuple[Float[Tensor, "B Q D"], list[Float[Tensor, "B Q N"]]]:
        """u^K [B Q D] from u^0, and the weights [B Q N] of each hop."""


def require_own_values(mechanism: str, values: Tensor | None) -> None:
    """Raises ValueError if there are values other than the keys."""
    if values is not None:
        raise ValueError(f"{mechanism} reads what it addresses and takes no other values: use KeyValueMemory")


class BoundedAdditiveScore(Score):
    """tanh(w . h + b) with h = tanh(W_v v + b_v) + tanh(W_u u + b_u), as the released code of Yang et al. 2016 has it.

    Since w . h is the sum of a term of the region and one of the query, the query does not change which region comes
    first, only by how much; and no weight of N is above e / (e + (N - 1) / e).
    """

    def __init__(self, query_dim: int, key_dim: int, hidden_dim: int = 512) -> None:
        super().__init__()
        self.map_query = nn.Linear(query_dim, hidden_dim)
        self.map_key = nn.Linear(key_dim, hidden_dim)
        self.score = nn.Linear(hidden_dim, 1)

    def project(self, keys: Float[Tensor, "B N K"]) -> Float[Tensor, "B N 1"]:
        """w . tanh(W_v v + b_v) + b."""
        return self.score(torch.tanh(self.map_key(keys)))

    def forward(self, query: Float[Tensor, "B Q D"], projected: Float[Tensor, "B N 1"]) -> Float[Tensor, "B Q N"]:
        """Logits [B Q N] in -1..1."""
        of_query = nn.functional.linear(torch.tanh(self.map_query(query)), self.score.weight)  # [B Q 1]
        return torch.tanh(of_query + projected.transpose(1, 2))


class StackedSlots(NamedTuple):
    """The score's part of the slots for each hop, and what is read."""

    projected: tuple[Float[Tensor, "B N P"], ...]
    values: Float[Tensor, "B N D"]
    keep: Bool[Tensor, "B N"]


class StackedAttention(MemoryNetwork[StackedSlots]):
    """Stacked attention networks (Yang et al. 2016, equations 15-20), with weights of its own for each hop.

        h^k = tanh(W_v^k v + (W_u^k u^{k-1} + b^k)),  p^k = softmax(w^k . h^k),  u^k = sum_i p^k_i v_i + u^{k-1}

    The paper's offset of w^k . h^k changes no softmax and is left out. Its v = tanh(W f + b) is the VQA model's.

    variant: "code" takes `BoundedAdditiveScore` as released, with which the printed results were made.
    """

    kind = "stacked attention"

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        hops: int = 2,
        hidden_dim: int = 512,
        variant: Literal["paper", "code"] = "paper",
        distribution: Distribution | None = None,
    ) -> None:
        super().__init__(query_dim, key_dim, hops, distribution)
        score = {"paper": AdditiveScore, "code": BoundedAdditiveScore}[variant]
        self.scores = nn.ModuleList(score(key_dim, key_dim, hidden_dim) for _ in range(hops))

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N D"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> StackedSlots:
        """W_v v for each hop."""
        return StackedSlots(
            tuple(score.project(keys) for score in self.scores),  # type: ignore[operator]
            keys if values is None else values,
            keep,
        )

    def recall(
        self, question: Float[Tensor, "B Q D"], prepared: StackedSlots
    ) -> tuple[Float[Tensor, "B Q D"], list[Float[Tensor, "B Q N"]]]:
        """u^K [B Q D] and the weights [B Q N] of each hop."""
        memory, hops = question, []
        for score, projected in zip(self.scores, prepared.projected, strict=True):
            weights = self.distribution(score(memory, projected), prepared.keep.unsqueeze(1))
            memory = memory + expected_value(weights, prepared.values)
            hops.append(weights)
        return memory, hops


class EmbeddedSlots(NamedTuple):
    """The slots under each embedding of `EndToEndMemory`."""

    embedded: tuple[Float[Tensor, "B N D"], ...]
    keep: Bool[Tensor, "B N"]


class EndToEndMemory(MemoryNetwork[EmbeddedSlots]):
    """End-to-end memory networks (Sukhbaatar et al. 2015, section 2).

        m_i = A x_i + T_A(i),  c_i = C x_i + T_C(i),  u^1 = B q
        p_i = softmax_i(u . m_i),  o = sum_i p_i c_i,  u^{k+1} = u^k + o^k  (layer-wise: H u^k + o^k)

    A slot x_i is a region, or a fact of `FactEncoder`, which brings its own temporal encoding. The model adds to the
    context the question as it was encoded, q, to have u^{K+1}. The training schedule of the paper's linear start (no
    softmax at first) is left out: its weights are no distribution that could be shown. The products of wide slots, not
    scaled in the paper, are soon decided: `Softmax(temperature=D**0.5)` is the scale of multi-head attention.

    Args:
        tying: "adjacent": A^{k+1} = C^k and B = A^1, so K + 1 matrices; "layer": one A and one C for all hops, with B
            and H.
        positions: T_A and T_C are learned maps of `corner_features` where the slots have a layout, in the place of the
            paper's temporal encoding; tied as A and C are.
    """

    kind = "end-to-end memory"

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        hops: int = 3,
        tying: Literal["adjacent", "layer"] = "adjacent",
        positions: bool = True,
        distribution: Distribution | None = None,
    ) -> None:
        super().__init__(query_dim, key_dim, hops, distribution)
        adjacent = tying == "adjacent"
        # (A, C) of each hop, by their place among the embeddings
        self.roles = [(hop, hop + 1) for hop in range(hops)] if adjacent else [(0, 1)] * hops
        embeddings = hops + 1 if adjacent else 2
        self.embeddings = nn.ModuleList(nn.Linear(key_dim, key_dim, bias=False) for _ in range(embeddings))
        places = embeddings if positions else 0
        self.places = nn.ModuleList(nn.Linear(CORNER_DIM, key_dim, bias=False) for _ in range(places))
        self.map_question = self.embeddings[0] if adjacent else nn.Linear(key_dim, key_dim, bias=False)  # B
        self.carry = nn.Identity() if adjacent else nn.Linear(key_dim, key_dim, bias=False)  # H

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N D"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> EmbeddedSlots:
        """Each embedding of the slots once, though two hops may share it.

        Raises:
            ValueError: the values are not the keys.
        """
        require_own_values("EndToEndMemory", values)
        embedded = [embed(keys) for embed in self.embeddings]
        if self.places and layout is not None:
            features = corner_features(layout).to(keys.dtype)
            embedded = [slots + place(features) for slots, place in zip(embedded, self.places, strict=True)]
        return EmbeddedSlots(tuple(embedded), keep)

    def recall(
        self, question: Float[Tensor, "B Q D"], prepared: EmbeddedSlots
    ) -> tuple[Float[Tensor, "B Q D"], list[Float[Tensor, "B Q N"]]]:
        """u^{K+1} [B Q D] and the weights [B Q N] of each hop."""
        memory, hops = self.map_question(question), []
        for address, read in self.roles:
            logits = memory @ prepared.embedded[address].transpose(1, 2)
            weights = self.distribution(logits, prepared.keep.unsqueeze(1))
            memory = self.carry(memory) + expected_value(weights, prepared.embedded[read])
            hops.append(weights)
        return memory, hops


class KeyValueSlots(NamedTuple):
    """By what a slot is found, and what is read from it."""

    keys: Float[Tensor, "B N D"]
    values: Float[Tensor, "B N D"]
    keep: Bool[Tensor, "B N"]


class KeyValueMemory(MemoryNetwork[KeyValueSlots]):
    """Key-value memory networks (Miller et al. 2016, section 3): a slot is found by its key, its value is read.

        p_i = softmax_i(A_X q . A_K k_i),  o = sum_i p_i A_V v_i,  q_{j+1} = R_j (q_j + o),  q_1 = A_X q

    The paper's one A embeds words, of which all three are bags; a question, a place and a region share no words, so
    each has its own. They begin as one, A_X = A_K, and R_j as the identity: what is alike is found from the first step
    on, and a question is not drowned by what is read. An empty memory is no special case: its weights are zero.

    Args:
        key: which view of a region its key is: "region" the region itself, "place" where it lies, "both".
        variant: "code": R_j with an offset and none after the last hop, as released; with one hop there is none at all.
    """

    kind = "key-value memory"

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        hops: int = 2,
        key: Literal["region", "place", "both"] = "region",
        variant: Literal["paper", "code"] = "paper",
        distribution: Distribution | None = None,
    ) -> None:
        super().__init__(query_dim, key_dim, hops, distribution)
        self.map_question = nn.Linear(key_dim, key_dim, bias=False)
        self.map_key = None if key == "place" else nn.Linear(key_dim, key_dim, bias=False)
        self.map_place = None if key == "region" else nn.Linear(CORNER_DIM, key_dim, bias=False)
        self.map_value = nn.Linear(key_dim, key_dim, bias=False)
        code = variant == "code"
        self.rotations = nn.ModuleList(nn.Linear(key_dim, key_dim, bias=code) for _ in range(hops - code))
        self._begin()

    @torch.no_grad()
    def _begin(self) -> None:
        if self.map_key is not None:
            self.map_key.weight.copy_(self.map_question.weight)
        for rotation in self.rotations:
            nn.init.eye_(rotation.weight)  # type: ignore[arg-type]

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N D"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> KeyValueSlots:
        """A_K k and A_V v, the same for all hops.

        Raises:
            ValueError: the places are asked for and the slots have none.
        """
        found_by = [] if self.map_key is None else [self.map_key(keys)]
        if self.map_place is not None:
            if layout is None:
                raise ValueError("words have no place on a picture: take KeyValueMemory with key 'region'")
            found_by.append(self.map_place(corner_features(layout).to(keys.dtype)))
        return KeyValueSlots(sum(found_by[1:], found_by[0]), self.map_value(keys if values is None else values), keep)

    def recall(
        self, question: Float[Tensor, "B Q D"], prepared: KeyValueSlots
    ) -> tuple[Float[Tensor, "B Q D"], list[Float[Tensor, "B Q N"]]]:
        """q_{K+1} [B Q D] and the weights [B Q N] of each hop."""
        memory, hops = self.map_question(question), []
        for hop in range(self.hops):
            weights = self.distribution(memory @ prepared.keys.transpose(1, 2), prepared.keep.unsqueeze(1))
            memory = memory + expected_value(weights, prepared.values)
            if hop < len(self.rotations):
                memory = self.rotations[hop](memory)
            hops.append(weights)
        return memory, hops
