"""Facts as memory slots: the position encodings, the time, and a task that takes two hops."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from common.attention import AttentionMechanism, DynamicMemory, EndToEndMemory, KeyValueMemory, StackedAttention
from common.encoders import FactEncoder
from common.errors import DataError

MEMORIES: dict[str, Callable[[int, int], AttentionMechanism[Any]]] = {
    "stacked": partial(StackedAttention, hidden_dim=5),
    "end-to-end": EndToEndMemory,
    "key-value": KeyValueMemory,
    "dynamic": partial(DynamicMemory, hidden_dim=5),
}


def _paper(j: int, k: int, J: int, d: int) -> float:
    return (1 - j / J) - (k / d) * (1 - 2 * j / J)


def _code(j: int, k: int, J: int, d: int) -> float:
    return 1 + 4 * (k - (d + 1) / 2) * (j - (J + 1) / 2) / (d * J)


def _texts() -> tuple[Tensor, Tensor]:
    """Two texts of three facts of up to four words; the second text's last fact is empty."""
    lengths = torch.tensor([[4, 2, 1], [3, 4, 0]])
    keep = torch.arange(4) < lengths.unsqueeze(-1)
    return torch.randint(1, 9, (2, 3, 4)) * keep, keep


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize("variant", ["paper", "code"])
def test_facts_agree_with_the_reference(variant: Any, timed: bool) -> None:
    encoder = FactEncoder(9, dim=6, facts=5 if timed else None, longest=7, variant=variant).double()
    tokens, keep = _texts()
    got = encoder(tokens, keep)
    words = encoder.embedding.weight.detach().numpy()
    for b, n in np.ndindex(2, 3):
        length = int(keep[b, n].sum())
        if length == 0:
            assert not got.keep[b, n]
            assert not got.values[b, n].any()
            continue
        longest, weigh = (length, _paper) if variant == "paper" else (7 + timed, _code)
        for k in range(1, 7):
            fact = sum(weigh(j, k, longest, 6) * words[tokens[b, n, j - 1], k - 1] for j in range(1, length + 1))
            if encoder.time is not None:
                after = int(keep[b, n + 1 :].any(-1).sum())
                time = encoder.time.weight[after, k - 1].item()
                fact += time if variant == "paper" else _code(longest, k, longest, 6) * time
            assert abs(got.values[b, n, k - 1].item() - fact) < 1e-10


def test_the_released_weights_are_about_twice_the_papers() -> None:
    d, J = 6, 5
    for j, k in np.ndindex(J, d):
        shift = 1 / d + 1 / J + 1 / (d * J) - 2 * (j + 1 + k + 1) / (d * J)
        assert abs(_code(j + 1, k + 1, J, d) - 2 * _paper(j + 1, k + 1, J, d) - shift) < 1e-12


def test_padding_changes_nothing() -> None:
    encoder = FactEncoder(9, dim=6, facts=5)
    tokens, keep = _texts()
    wider = nn.functional.pad(tokens, (0, 2, 0, 1), value=3), nn.functional.pad(keep, (0, 2, 0, 1))
    torch.testing.assert_close(encoder(*wider).values[:, :3], encoder(tokens, keep).values)
    assert not encoder(*wider).keep[:, 3].any()


def test_the_order_of_words_counts() -> None:
    encoder, keep = FactEncoder(9, dim=6), torch.ones(1, 3, dtype=torch.bool)
    one, other = (encoder.sentence(torch.tensor([words]), keep) for words in ([1, 2, 3], [3, 2, 1]))
    assert not torch.allclose(one, other)


def test_impossible_settings_and_too_many_facts_are_refused() -> None:
    with pytest.raises(ValueError, match="give `longest`"):
        FactEncoder(9, dim=6, variant="code")
    tokens, keep = _texts()
    with pytest.raises(DataError, match="raise `facts`"):
        FactEncoder(9, dim=6, facts=2)(tokens, keep)


@pytest.mark.parametrize("name", MEMORIES)
def test_every_memory_reads_facts_and_no_empty_slot(name: str) -> None:
    encoder, memory = FactEncoder(9, dim=6, facts=5), MEMORIES[name](6, 6)
    tokens, keep = _texts()
    facts = encoder(tokens, keep)
    question = encoder.sentence(tokens[:, :1], keep[:, :1])
    output = memory(question, memory.prepare(*facts))
    assert output.context.shape == (2, 1, 6)
    assert output.parts is not None
    torch.testing.assert_close(output.weights.sum(-1), torch.ones(2, 1))
    assert not output.parts[1, ..., 2].any()


PEOPLE, PLACES, THINGS = torch.arange(9).view(3, 3) + 1  # ids of words


class Story(NamedTuple):
    """Facts "person place" and "thing person", the question "thing", and the place as the answer."""

    tokens: Tensor
    question: Tensor
    answer: Tensor


def _stories(number: int, generator: torch.Generator) -> Story:
    """Each of three people is at another place and has another thing; the six facts stand in any order."""

    def shuffle(rows: int) -> Tensor:
        return torch.rand(number, rows, generator=generator).argsort(-1)

    places, owners, order = shuffle(3), shuffle(3), shuffle(6)
    whereabouts = torch.stack([PEOPLE.expand(number, 3), PLACES[places]], -1)
    belongings = torch.stack([THINGS.expand(number, 3), PEOPLE[owners]], -1)
    tokens = torch.cat([whereabouts, belongings], 1)  # [number 6 2]
    asked = torch.randint(3, (number, 1), generator=generator)
    answer = places.gather(1, owners.gather(1, asked)).squeeze(1)
    return Story(tokens.gather(1, order.unsqueeze(-1).expand_as(tokens)), THINGS[asked], answer)


def _accuracy_after_training(hops: int) -> float:
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    encoder, memory, classify = FactEncoder(10, dim=16), EndToEndMemory(16, 16, hops=hops), nn.Linear(16, 3)

    def answer(story: Story) -> Tensor:
        facts = encoder(story.tokens, torch.ones_like(story.tokens, dtype=torch.bool))
        question = encoder.sentence(story.question, torch.ones_like(story.question, dtype=torch.bool)).unsqueeze(1)
        return classify(question + memory(question, memory.prepare(*facts)).context).squeeze(1)

    optimiser = torch.optim.Adam([*encoder.parameters(), *memory.parameters(), *classify.parameters()], lr=0.02)
    for _ in range(150):
        story = _stories(128, generator)
        loss = nn.functional.cross_entropy(answer(story), story.answer)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    story = _stories(500, generator)
    return (answer(story).argmax(-1) == story.answer).float().mean().item()


def test_two_hops_find_what_two_facts_together_say_and_one_does_not() -> None:
    one, two = _accuracy_after_training(1), _accuracy_after_training(2)
    assert one < 0.6
    assert two > 0.9


def test_a_sentence_longer_than_the_released_weights_reach_is_refused() -> None:
    encoder = FactEncoder(8, 4, longest=3, variant="code")
    tokens = torch.ones(1, 1, 4, dtype=torch.long)
    with pytest.raises(DataError, match="a sentence of 4 words, the encoder takes 3"):
        encoder(tokens, tokens > 0)
