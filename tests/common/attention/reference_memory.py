"""Memory networks for one question over the slots of one example, in loops over hops, slots and words."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tests.common.attention.reference import Array, Parameters, masked, sigmoid, softmax

Mask = NDArray[np.bool_]
Recalled = tuple[Array, Array]  # the context [D] and the weights of each hop [K N]


def _linear(p: Parameters, name: str, x: Array) -> Array:
    return p[f"{name}.weight"] @ x + p.get(f"{name}.bias", 0.0)


def _read(weights: Array, values: list[Array]) -> Array:
    return sum((w * v for w, v in zip(weights, values, strict=True)), np.zeros_like(values[0]))


def _question(p: Parameters, query: Array) -> Array:
    return p["map_query.weight"] @ query if "map_query.weight" in p else query


def places(corners: Array) -> Array:
    """sin and cos of pi 2^o c for the four corner coordinates c of one region."""
    angles = [math.pi * 2**octave for octave in range(4)]
    return np.array([f(c * angle) for c in corners for f in (np.sin, np.cos) for angle in angles])


def stacked_attention(p: Parameters, query: Array, keys: Array, keep: Mask, hops: int, variant: str) -> Recalled:
    """Yang et al. 2016, equations 15-20, or the released code's three tanh."""
    u = start = _question(p, query)
    parts = []
    for k in range(hops):
        score = f"scores.{k}"
        logits = []
        for v in keys:
            if variant == "paper":
                h = np.tanh(_linear(p, f"{score}.map_key", v) + _linear(p, f"{score}.map_query", u))
                logits.append(p[f"{score}.vector"] @ h)
            else:
                h = np.tanh(_linear(p, f"{score}.map_key", v)) + np.tanh(_linear(p, f"{score}.map_query", u))
                logits.append(np.tanh(_linear(p, f"{score}.score", h)).item())
        parts.append(masked(softmax, np.array(logits), keep))
        u = _read(parts[-1], list(keys)) + u
    return u - start, np.array(parts)


def end_to_end_memory(
    p: Parameters, query: Array, keys: Array, keep: Mask, corners: Array | None, hops: int, tying: str
) -> Recalled:
    """Sukhbaatar et al. 2015, section 2."""

    def embed(index: int) -> list[Array]:
        slots = [_linear(p, f"embeddings.{index}", x) for x in keys]
        if corners is not None:
            slots = [s + _linear(p, f"places.{index}", places(c)) for s, c in zip(slots, corners, strict=True)]
        return slots

    start = _question(p, query)
    adjacent = tying == "adjacent"
    u = _linear(p, "embeddings.0" if adjacent else "map_question", start)
    parts = []
    for k in range(hops):
        m, c = (embed(k), embed(k + 1)) if adjacent else (embed(0), embed(1))
        parts.append(masked(softmax, np.array([u @ m_i for m_i in m]), keep))
        u = (u if adjacent else _linear(p, "carry", u)) + _read(parts[-1], c)
    return u - start, np.array(parts)


def key_value_memory(
    p: Parameters, query: Array, keys: Array, values: Array, keep: Mask, corners: Array | None, hops: int, variant: str
) -> Recalled:
    """Miller et al. 2016, section 3; the released code turns no more after the last hop."""
    start = _question(p, query)
    q = _linear(p, "map_question", start)
    found_by = []
    for index in range(len(keys)):
        key = np.zeros_like(q)
        if "map_key.weight" in p:
            key = key + _linear(p, "map_key", keys[index])
        if corners is not None:
            key = key + _linear(p, "map_place", places(corners[index]))
        found_by.append(key)
    parts = []
    for j in range(hops):
        parts.append(masked(softmax, np.array([q @ key for key in found_by]), keep))
        q = q + _read(parts[-1], [_linear(p, "map_value", v) for v in values])
        if variant == "paper" or j < hops - 1:
            q = _linear(p, f"rotations.{j}", q)
    return q - start, np.array(parts)


def gru(p: Parameters, name: str, inputs: list[Array]) -> list[Array]:
    """PyTorch's GRU: h = (1 - z) n + z h."""
    h = np.zeros(p[f"{name}.weight_hh_l0"].shape[1])
    states = []
    for x in inputs:
        of_x = np.split(p[f"{name}.weight_ih_l0"] @ x + p[f"{name}.bias_ih_l0"], 3)
        of_h = np.split(p[f"{name}.weight_hh_l0"] @ h + p[f"{name}.bias_hh_l0"], 3)
        r, z = sigmoid(of_x[0] + of_h[0]), sigmoid(of_x[1] + of_h[1])
        h = (1 - z) * np.tanh(of_x[2] + r * of_h[2]) + z * h
        states.append(h)
    return states


def dynamic_memory(
    p: Parameters, query: Array, keys: Array, keep: Mask, order: list[int], hops: int, episode: str
) -> Recalled:
    """Xiong et al. 2016, section 3, over the valid regions alone in the order of reading."""
    q = _question(p, query)
    d = len(q)
    read = [index for index in order if keep[index]]
    x = [np.tanh(_linear(p, "fusion.embed", keys[index])) for index in read]
    ahead, back = gru(p, "fusion.forwards", x), gru(p, "fusion.backwards", x[::-1])[::-1]
    facts = [f + b for f, b in zip(ahead, back, strict=True)]
    w1_question, w1_memory = p["compare_question.weight"], p["compare_memory.weight"]
    # z = [f*q; f*m; |f-q|; |f-m|], so the columns of W_1 are put in that order
    w1 = np.concatenate([w1_question[:, :d], w1_memory[:, :d], w1_question[:, d:], w1_memory[:, d:]], 1)
    m, parts = q, []
    for t in range(hops):
        logits = []
        for f in facts:
            z = np.concatenate([f * q, f * m, abs(f - q), abs(f - m)])
            logits.append((p["score.weight"] @ np.tanh(w1 @ z + p["compare_question.bias"])).item())
        gates = softmax(np.array(logits)) if facts else np.zeros(0)
        c = _episode(p, facts, gates, d, episode)
        m = np.maximum(_linear(p, f"updates.{t}", np.concatenate([m, c, q])), 0)
        weights = np.zeros(len(keys))
        weights[read] = gates
        parts.append(weights)
    return m - q, np.array(parts)


def _episode(p: Parameters, facts: list[Array], gates: Array, d: int, episode: str) -> Array:
    if episode == "soft":
        return sum((g * f for g, f in zip(gates, facts, strict=True)), np.zeros(d))
    h = np.zeros(d)
    for g, f in zip(gates, facts, strict=True):
        of_fact, of_state = _linear(p, "episode.map_facts", f), _linear(p, "episode.map_state", h)
        reset = sigmoid(of_fact[:d] + of_state[:d])
        h = g * np.tanh(of_fact[d:] + reset * of_state[d:]) + (1 - g) * h
    return h
