"""v . tanh(q + k) for all pairs of queries and keys, the dearest step of additive attention, in few passes of memory.

With t = tanh(q + k) and the gradient e [B Q N] of the logits v . t,

    grad q = v * sum_n e_n (1 - t_n^2),  grad k = v * sum_q e_q (1 - t_q^2),  grad v = sum_qn e t

so that t [B Q N E] is all that is kept, and nothing else of its size is made, where autograd would make five of it. On
a CPU all is done in pieces that stay in its cache.

A search looks at the same keys before each word. Their part of the exponential in tanh is then worked out once,

    v . tanh(q + k) = 2 v . g - sum v,  g = 1 / (1 + exp(-2 q) exp(-2 k))

and a look costs a product and a division for each number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from common.attention.squash import tanh_of_half_
from common.attention.steps import Note, Notes, many_looks_follow, shared

CACHED = 1 << 17  # numbers of [B Q N E] worked on at a time: 512 KB in float32
GREATEST_KEY = 30.0  # of which exp(-2 k) is a number far from zero and infinity
# A query beyond it and such a key have a sum beyond 10, whose tanh is 1 in float32, and so has the query's limit.
GREATEST_QUERY = 40.0


class DecayedKeys(NamedTuple):
    """exp(-2 k), in float32."""

    decay: Float[Tensor, "B N E"]


def prepared(keys: Float[Tensor, "B N E"]) -> Float[Tensor, "B N E"] | DecayedKeys:
    """Keys as `additive_logits` wants them: changed where many looks follow and all keys are small enough for that."""
    if not many_looks_follow() or keys.device.type != "cpu" or keys.dtype == torch.float64:
        return keys
    wide = keys.float()
    return DecayedKeys((-2 * wide).exp_()) if (wide.abs() <= GREATEST_KEY).all() else keys


def additive_logits(
    query: Float[Tensor, "B Q E"], keys: Float[Tensor, "B N E"] | DecayedKeys, vector: Float[Tensor, " E"]
) -> Float[Tensor, "B Q N"]:
    """v . tanh(q + k); in a loop (`one_loop`) whose steps share the keys these get their gradient after it."""
    if isinstance(keys, DecayedKeys):
        return _in_pieces(_of_decayed, _decay(query), keys.decay, vector.float())
    if torch.compiler.is_compiling():  # makes one pass of the plain formula
        return torch.tanh(query.unsqueeze(2) + keys.unsqueeze(1)) @ vector
    if not torch.is_grad_enabled():
        return _in_pieces(_plain, query, keys, vector)
    keys, notes = shared(keys, _keys_gradient) or (keys, None)
    return _AdditiveLogits.apply(query, keys, vector, notes)


def _pieces(hidden: Float[Tensor, "B Q N E"]) -> int:
    """How many examples are worked on at a time."""
    each = max(hidden[:1].numel(), 1)
    return max(CACHED // each, 1) if hidden.device.type == "cpu" else max(len(hidden), 1)


def _tanh_of_sum(query: Float[Tensor, "B Q E"], keys: Float[Tensor, "B N E"], out: Tensor) -> Float[Tensor, "B Q N E"]:
    """tanh(q + k); on a CPU by way of the sigmoid, see `common.attention.squash`."""
    if out.device.type != "cpu":
        return torch.add(query.unsqueeze(2), keys.unsqueeze(1), out=out).tanh_()
    return tanh_of_half_(torch.add((2 * query).unsqueeze(2), keys.unsqueeze(1), alpha=2, out=out))


def _decay(query: Float[Tensor, "B Q E"]) -> Float[Tensor, "B Q E"]:
    """exp(-2 q) in float32, of a query brought within its limit."""
    return query.float().clamp(-GREATEST_QUERY, GREATEST_QUERY).mul(-2).exp_()


def _of_decayed(
    query: Float[Tensor, "B Q E"], keys: Float[Tensor, "B N E"], vector: Float[Tensor, " E"], out: Tensor
) -> Float[Tensor, "B Q N"]:
    """v . tanh(q + k) from exp(-2 q) and exp(-2 k)."""
    gates = torch.addcmul(keys.new_ones(()), query.unsqueeze(2), keys.unsqueeze(1), out=out).reciprocal_()
    return torch.add(-vector.sum(), gates @ vector, alpha=2)


def _plain(
    query: Float[Tensor, "B Q E"], keys: Float[Tensor, "B N E"], vector: Float[Tensor, " E"], out: Tensor
) -> Float[Tensor, "B Q N"]:
    """v . tanh(q + k)."""
    return _tanh_of_sum(query, keys, out) @ vector


def _in_pieces(
    logits: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor],
    query: Float[Tensor, "B Q E"],
    keys: Float[Tensor, "B N E"],
    vector: Float[Tensor, " E"],
) -> Float[Tensor, "B Q N"]:
    """The logits of a few examples after the other, all made in the same piece of memory."""
    size = _pieces(query.unsqueeze(2).expand(-1, -1, keys.shape[1], -1))
    hidden = query.new_empty(min(size, len(query)), *query.shape[1:2], *keys.shape[1:])
    pairs = zip(query.split(size), keys.split(size), strict=True)
    return torch.cat([logits(some, of_keys, vector, hidden[: len(some)]) for some, of_keys in pairs])


class _AdditiveLogits(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Float[Tensor, "B Q E"],
        keys: Float[Tensor, "B N E"],
        vector: Float[Tensor, " E"],
        notes: Notes | None,
    ) -> Float[Tensor, "B Q N"]:
        """Logits; `notes` are those of a loop that shares the keys."""
        hidden = query.new_empty(*query.shape[:2], *keys.shape[1:])
        logits = query.new_empty(hidden.shape[:3])
        for some, of_keys, out, of_logits in zip(
            *(each.split(_pieces(hidden)) for each in (query, keys, hidden, logits)), strict=True
        ):
            torch.matmul(_tanh_of_sum(some, of_keys, out), vector, out=of_logits)
        ctx.save_for_backward(hidden, vector)
        ctx.notes = notes
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Float[Tensor, "B Q N"]) -> tuple[Tensor, Tensor | None, Tensor, None]:
        """Gradients of query [B Q E], keys [B N E] and vector [E]."""
        hidden, vector = ctx.saved_tensors
        size, sums, squares = _pieces(hidden), [], []
        for e, t in zip(grad.unsqueeze(2).split(size), hidden.split(size), strict=True):
            sums.append((e @ t).squeeze(2))  # sum_n e_n t_n, [b Q E]
            squares.append((e @ t.square()).squeeze(2))
        grad_query = vector * (grad.sum(2, keepdim=True) - torch.cat(squares))
        grad_keys = None
        if ctx.notes is not None:
            ctx.notes.add(grad, hidden, vector)
        elif ctx.needs_input_grad[1]:
            grad_keys = _keys_gradient([(grad, hidden, vector)])
        return grad_query, grad_keys, torch.cat(sums).sum((0, 1)), None


def _keys_gradient(notes: list[Note]) -> Float[Tensor, "B N E"]:
    """v * the sum over steps and queries of e (1 - t^2); v is that of every step."""
    _, hidden, vector = notes[0]
    size, total = _pieces(hidden), torch.zeros_like(hidden[:, 0])
    for number, some in enumerate(total.split(size)):
        here = slice(number * size, (number + 1) * size)
        for grad, hidden, _ in notes:
            for e, t in zip(grad[here].unsqueeze(-1).unbind(1), hidden[here].unbind(1), strict=True):
                some.addcmul_(t.square(), e, value=-1).add_(e)
        some.mul_(vector)
    return total
