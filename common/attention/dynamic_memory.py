"""Dynamic memory networks for pictures: DMN+ (Xiong, Merity & Socher 2016, "Dynamic Memory Networks for Visual and
Textual Question Answering").

Shapes: B examples, Q queries each, N facts (regions) of width D, hidden width E, K hops.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from common.attention.distributions import Distribution
from common.attention.maps import Boxes, Grid
from common.attention.mechanism import expected_value
from common.attention.memory import MemoryNetwork, require_own_values
from common.attention.places import centre_sinusoids


def snake_order(height: int, width: int, device: torch.device | None = None) -> Int[Tensor, " N"]:
    """The cells of a grid row by row, every other row from right to left, so that each borders on the one before."""
    cells = torch.arange(height * width, device=device).view(height, width)
    backwards = torch.arange(height, device=device).unsqueeze(1) % 2 == 1
    return torch.where(backwards, cells.flip(1), cells).flatten()


def reading_order(keep: Bool[Tensor, "B N"], layout: Grid | Boxes | None) -> Int[Tensor, "B N"]:
    """The regions in the order in which they are read: a grid's as a snake, others as given; the invalid ones last."""
    device = keep.device
    order = (
        snake_order(layout.height, layout.width, device)
        if isinstance(layout, Grid)
        else torch.arange(keep.shape[1], device=device)
    ).expand(keep.shape)
    invalid = (~keep).gather(1, order).byte()
    return order.gather(1, invalid.argsort(dim=1, stable=True))


def _rows(items: Float[Tensor, "B N D"], index: Int[Tensor, "B N"]) -> Float[Tensor, "B N D"]:
    """items[b, index[b, n]]."""
    return items.gather(1, index.unsqueeze(-1).expand_as(items))


class InputFusion(nn.Module):
    """f = GRU(x) forwards + GRU(x) backwards over x_i = tanh(W x_i + b): each region knows of the others (section 3.3).

    torch.compile leaves the graph for the two GRUs, as for every recurrent module of PyTorch.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.embed = nn.Linear(dim, dim)
        self.forwards = nn.GRU(dim, dim, batch_first=True)
        self.backwards = nn.GRU(dim, dim, batch_first=True)

    def forward(self, regions: Float[Tensor, "B N D"], keep: Bool[Tensor, "B N"]) -> Float[Tensor, "B N D"]:
        """Facts [B N D]; zero where invalid. The invalid regions must come last."""
        embedded = torch.tanh(self.embed(regions))
        place = torch.arange(keep.shape[1], device=keep.device)
        # Only the valid regions are turned round, so that both directions meet the padding when all is read.
        turned = torch.where(keep, keep.sum(1, keepdim=True) - 1 - place, place)  # [B N]
        after = _rows(self.backwards(_rows(embedded, turned))[0], turned)
        fused = self.forwards(embedded)[0] + after
        return fused.masked_fill(~keep.unsqueeze(-1), 0.0)


class SoftEpisode(nn.Module):
    """c = sum_i g_i f_i."""

    def prepare(self, facts: Float[Tensor, "B N D"]) -> Float[Tensor, "B N D"]:
        """The facts."""
        return facts

    def forward(self, gates: Float[Tensor, "B Q N"], prepared: Float[Tensor, "B N D"]) -> Float[Tensor, "B Q D"]:
        """The episode c [B Q D]."""
        return expected_value(gates, prepared)


class GRUEpisode(nn.Module):
    """The attention GRU: a GRU whose update gate is the attention's weight of the fact (equations 11-12).

        r_i = sigmoid(W_r f_i + U_r h_{i-1} + b_r),  h~_i = tanh(W f_i + r_i * (U h_{i-1}) + b)
        h_i = g_i h~_i + (1 - g_i) h_{i-1},          c = h_N from h_0 = 0

    It hears the order of the facts, which a weighted sum does not. The loop over the facts is inherent to the
    recurrence; in it is one product with U and U_r together, and no more than elementwise work besides.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.map_facts = nn.Linear(dim, 2 * dim)  # W_r and W
        self.map_state = nn.Linear(dim, 2 * dim, bias=False)  # U_r and U

    def prepare(self, facts: Float[Tensor, "B N D"]) -> Float[Tensor, "B N F"]:
        """W_r f + b_r and W f + b of all facts, for all hops and queries."""
        return self.map_facts(facts)

    def forward(self, gates: Float[Tensor, "B Q N"], prepared: Float[Tensor, "B N F"]) -> Float[Tensor, "B Q D"]:
        """The episode c [B Q D]; a fact whose gate is zero leaves the state exactly as it was."""
        state = prepared.new_zeros(*gates.shape[:2], prepared.shape[2] // 2)
        steps = zip(prepared.unsqueeze(2).unbind(1), gates.to(prepared.dtype).unsqueeze(-1).unbind(2), strict=True)
        for of_fact, gate in steps:  # [B 1 2*D], [B Q 1]
            fact_reset, fact = of_fact.chunk(2, -1)
            state_reset, recalled = self.map_state(state).chunk(2, -1)
            candidate = torch.tanh(fact + torch.sigmoid(fact_reset + state_reset) * recalled)
            state = state + gate * (candidate - state)
        return state


class DynamicSlots(NamedTuple):
    """The facts in the order of reading, the episode's part of them, and where each region stands in that order."""

    facts: Float[Tensor, "B N D"]
    for_episode: Float[Tensor, "B N F"]
    keep: Bool[Tensor, "B N"]
    place: Int[Tensor, "B N"]


class DynamicMemory(MemoryNetwork[DynamicSlots]):
    """DMN+ (Xiong et al. 2016, section 3): fused facts, gates by comparing with question and memory, episodes.

        z_i = [f_i * q; f_i * m; |f_i - q|; |f_i - m|],  g = softmax_i(w . tanh(W_1 z_i + b_1))
        m^t = ReLU(W^t [m^{t-1}; c^t; q] + b^t),         m^0 = q

    with c^t the episode of the gates g^t. W^t is each hop's own, the rest is shared. The offset of w changes no softmax
    and is left out. The paper answers from q and m^K side by side; here the model answers from m^K alone (see the
    module's convention in `memory.py`), into which q enters at each hop.

    Args:
        episode: "gru", the attention GRU, is what the paper means by DMN+. "soft", the weighted sum, needs no loop over
            the regions at each hop: take it for captions, which look again at each word, and where the regions have no
            order that means something, as boxes have none.
        positions: adds to each fact where its slot lies (`centre_sinusoids`), if it has a place, for questions of where
            things are: what the fusion's GRUs read of it is lost among all else.
    """

    kind = "dynamic memory"

    def __init__(
        self,
        query_dim: int,
        key_dim: int,
        hops: int = 3,
        hidden_dim: int = 512,
        episode: Literal["gru", "soft"] = "gru",
        positions: bool = False,
        distribution: Distribution | None = None,
    ) -> None:
        super().__init__(query_dim, key_dim, hops, distribution)
        self.positions = positions
        self.fusion = InputFusion(key_dim)
        # The halves of W_1 for question and memory, apart: the first is the same at every hop.
        self.compare_question = nn.Linear(2 * key_dim, hidden_dim)
        self.compare_memory = nn.Linear(2 * key_dim, hidden_dim, bias=False)
        self.score = nn.Linear(hidden_dim, 1, bias=False)
        self.episode = GRUEpisode(key_dim) if episode == "gru" else SoftEpisode()
        self.updates = nn.ModuleList(nn.Linear(3 * key_dim, key_dim) for _ in range(hops))

    def prepare(
        self,
        keys: Float[Tensor, "B N K"],
        keep: Bool[Tensor, "B N"],
        values: Float[Tensor, "B N D"] | None = None,
        layout: Grid | Boxes | None = None,
    ) -> DynamicSlots:
        """The facts, fused in the order of reading.

        Raises:
            ValueError: the values are not the keys.
        """
        require_own_values("DynamicMemory", values)
        order = reading_order(keep, layout)
        keep = keep.gather(1, order)
        facts = self.fusion(_rows(keys, order), keep)
        if self.positions and layout is not None:
            places = centre_sinusoids(layout, facts.shape[-1]).to(facts.dtype).expand_as(facts)
            facts = facts + _rows(places, order) * keep.unsqueeze(-1)
        return DynamicSlots(facts, self.episode.prepare(facts), keep, order.argsort(1))

    def recall(
        self, question: Float[Tensor, "B Q D"], prepared: DynamicSlots
    ) -> tuple[Float[Tensor, "B Q D"], list[Float[Tensor, "B Q N"]]]:
        """m^K [B Q D] and the gates [B Q N] of each hop."""
        by_region = prepared.place.unsqueeze(1).expand(-1, question.shape[1], -1)  # [B Q N]
        of_question = self.compare_question(_differences(prepared.facts, question))  # [B Q N E]
        memory, hops = question, []
        for update in self.updates:
            hidden = torch.tanh(of_question + self.compare_memory(_differences(prepared.facts, memory)))
            gates = self.distribution(self.score(hidden).squeeze(-1), prepared.keep.unsqueeze(1))
            episode = self.episode(gates, prepared.for_episode)
            memory = torch.relu(update(torch.cat([memory, episode, question], -1)))
            hops.append(gates.gather(2, by_region))
        return memory, hops


def _differences(facts: Float[Tensor, "B N D"], other: Float[Tensor, "B Q D"]) -> Float[Tensor, "B Q N C"]:
    """[f * o; |f - o|] of each pair."""
    fact, compared = facts.unsqueeze(1), other.unsqueeze(2)
    return torch.cat([fact * compared, (fact - compared).abs()], -1)
