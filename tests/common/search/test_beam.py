from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from captioning.decoders import Decoder, ShowAttendTell
from common.attention import AdditiveScore, Attention, VisualFeatures
from common.data.vocabulary import END, PAD, START, UNKNOWN
from common.errors import ConfigError
from common.search import Hypothesis, Search, beam_search
from tests.common.search.scripted import WORDS, Scripted, pictures

LONGEST = 3
EVERYTHING = sum(3**length for length in range(LONGEST + 1))  # captions there are


def decoder(sharpness: float = 3.0) -> ShowAttendTell:
    """A small decoder with opinions."""
    made = ShowAttendTell(
        WORDS,
        5,
        lambda query_dim, key_dim: Attention(AdditiveScore(query_dim, key_dim, hidden_dim=4)),
        embedding_dim=4,
        hidden_dim=6,
    )
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter)
    torch.nn.init.normal_(made.output.weight, std=sharpness)
    return made.double().eval()


@torch.no_grad()
def score(model: Decoder[Any], features: VisualFeatures, row: int, words: list[int]) -> tuple[Tensor, Tensor]:
    """Log-probabilities [N] of the words and the end, and weights [N R], by teacher forcing."""
    tokens = torch.tensor([[[START, *words]]])
    output = model(features.select(torch.tensor([row])), tokens, torch.ones_like(tokens, dtype=torch.bool))
    return output.log_probs.gather(1, torch.tensor([*words, END]).unsqueeze(1)).squeeze(1), output.weights[0, 0]


def same(found: Hypothesis, expected: Hypothesis) -> bool:
    return found.tokens == expected.tokens and found.score == pytest.approx(expected.score)


@pytest.mark.parametrize("length_power", [0.0, 1.0])
def test_a_beam_as_wide_as_all_captions_finds_them_all_best_first(length_power: float) -> None:
    model, features = decoder(), pictures()
    found = beam_search(model, features, Search(beam=EVERYTHING, longest=LONGEST, length_power=length_power))
    for row, hypotheses in enumerate(found):
        captions = [list(words) for length in range(LONGEST + 1) for words in product((4, 5, 6), repeat=length)]
        scores = {
            tuple(words): score(model, features, row, words)[0].sum().item() / (len(words) + 1) ** length_power
            for words in captions
        }
        ranked = sorted(scores, key=scores.__getitem__, reverse=True)
        assert [tuple(each.tokens) for each in hypotheses] == ranked
        assert [each.score for each in hypotheses] == pytest.approx([scores[words] for words in ranked], abs=1e-4)


def test_a_beam_that_is_wider_than_all_captions_gives_no_caption_twice() -> None:
    found = beam_search(decoder(), pictures(1), Search(beam=EVERYTHING + 5, longest=LONGEST))[0]
    assert len({tuple(each.tokens) for each in found}) == len(found) == EVERYTHING


@pytest.mark.parametrize("beam", [1, 2, 4])
def test_pictures_together_are_the_pictures_one_by_one(beam: int) -> None:
    model, features = decoder(), pictures(5)
    together = beam_search(model, features, Search(beam, longest=6))
    for row, expected in enumerate(together):
        alone = beam_search(model, features.select(torch.tensor([row])), Search(beam, longest=6))[0]
        assert all(same(*pair) for pair in zip(alone, expected, strict=True))


def greedy(model: Decoder[Any], features: VisualFeatures, row: int, longest: int) -> list[int]:
    words: list[int] = []
    state = model.start(features.select(torch.tensor([row])))
    while len(words) < longest:
        step = model.step(torch.tensor([[words[-1] if words else START]]), state)
        state = step.state
        best = max((END, 4, 5, 6), key=lambda word: step.log_probs[0, 0, word].item())
        if best == END:
            break
        words.append(best)
    return words


def test_a_beam_of_one_takes_the_likeliest_word_each_time() -> None:
    model, features = decoder(), pictures(20)
    found = [hypotheses[0].tokens for hypotheses in beam_search(model, features, Search(beam=1, longest=6))]
    assert found == [greedy(model, features, row, 6) for row in range(20)]
    assert len({len(tokens) for tokens in found}) > 1, "the captions end at different steps"


def test_wider_beams_find_likelier_captions_than_greedy_search_on_the_whole() -> None:
    model, features = decoder(), pictures(20)
    narrow, wide = (
        sum(each[0].score for each in beam_search(model, features, Search(beam, longest=6))) for beam in (1, 8)
    )
    assert wide > narrow


def test_scores_log_probabilities_and_weights_are_those_of_the_captions_own_words() -> None:
    model, features = decoder(), pictures(4)
    for row, hypotheses in enumerate(beam_search(model, features, Search(beam=4, longest=5))):
        assert len(hypotheses) == 4
        assert [each.score for each in hypotheses] == sorted((each.score for each in hypotheses), reverse=True)
        for each in hypotheses:
            log_probs, weights = score(model, features, row, each.tokens)
            torch.testing.assert_close(each.token_log_probs.double(), log_probs, rtol=0, atol=1e-5)
            torch.testing.assert_close(each.weights, weights)
            assert each.score == pytest.approx(each.token_log_probs.sum().item(), abs=1e-5)


def test_a_finished_caption_keeps_its_score_while_others_go_on() -> None:
    model = Scripted({START: {4: 0.6, 5: 0.4}, 4: {END: 0.9, 6: 0.1}, 5: {6: 1.0}, 6: {6: 0.5, END: 0.5}})
    found = beam_search(model, pictures(1), Search(beam=2, longest=10))[0]
    assert found[0].tokens == [4]
    assert found[0].score == pytest.approx(torch.tensor(0.54).log().item())
    assert found[1].tokens == [5, 6]


def test_greedy_search_is_misled_where_a_beam_is_not() -> None:
    model = Scripted({START: {4: 0.6, 5: 0.4}, 4: {END: 0.5, 6: 0.5}, 5: {END: 1.0}, 6: {END: 1.0}})
    assert beam_search(model, pictures(1), Search(beam=1))[0][0].tokens in ([4], [4, 6])
    assert beam_search(model, pictures(1), Search(beam=2))[0][0].tokens == [5]


def test_length_power_ranks_the_same_captions_by_their_mean() -> None:
    model = Scripted({START: {4: 0.5, 5: 0.5}, 4: {END: 0.5, 6: 0.5}, 5: {5: 0.5, 6: 0.5}, 6: {6: 0.1, END: 0.9}})
    plain, by_mean = (beam_search(model, pictures(1), Search(3, 4, power))[0] for power in (0.0, 1.0))
    assert {tuple(each.tokens) for each in plain} == {tuple(each.tokens) for each in by_mean}
    assert plain[0].tokens == [4]
    assert len(by_mean[0].tokens) == 2
    assert by_mean[0].score == pytest.approx(torch.tensor(0.5 * 0.5 * 0.9).log().item() / 3)


@pytest.mark.parametrize("longest", [1, 2, 5])
def test_no_caption_is_longer_than_the_longest(longest: int) -> None:
    never_ends = Scripted({word: {4: 0.9, 5: 0.1} for word in (START, 4, 5)})
    for each in beam_search(never_ends, pictures(1), Search(beam=2, longest=longest))[0]:
        assert len(each.tokens) == longest
        assert len(each.token_log_probs) == len(each.weights) == longest + 1


def test_padding_start_and_unknown_word_are_never_written() -> None:
    tempted = {PAD: 0.2, START: 0.2, UNKNOWN: 0.5, 4: 0.06, END: 0.04}
    model = Scripted(dict.fromkeys(range(WORDS), tempted))
    for each in beam_search(model, pictures(1), Search(beam=5, longest=6))[0]:
        assert set(each.tokens) <= {4, 5, 6}


def test_weights_belong_to_the_step_before_their_word() -> None:
    model = Scripted({START: {4: 0.6, 5: 0.4}, 4: {6: 0.5, 4: 0.5}, 5: {6: 1.0}, 6: {END: 1.0}})
    for each in beam_search(model, pictures(1), Search(beam=3, longest=4))[0]:
        assert each.weights.argmax(-1).tolist() == [START, *each.tokens], "the script looks at the word it goes on from"


def test_a_model_that_has_diverged_gives_a_caption_without_a_score() -> None:
    model = Scripted(dict.fromkeys(range(WORDS), dict.fromkeys(range(WORDS), math.nan)))
    for found in beam_search(model, pictures(2), Search(beam=2, longest=3)):
        assert math.isnan(found[0].score)


@pytest.mark.parametrize("name", ["beam", "longest"])
def test_a_search_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"search.{name} must be at least 1, not 0"):
        Search(**{name: 0})
