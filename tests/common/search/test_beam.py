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
from common.search import Diversity, Hypothesis, Search, Wording, beam_search
from common.search.selection import likeliest
from tests.common.search.scripted import VOCABULARY, WORDS, Scripted, Tables, pictures, pictures_of

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
    found = beam_search(model, features, Search(EVERYTHING, LONGEST, length_power, best=EVERYTHING))
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
    found = beam_search(decoder(), pictures(1), Search(EVERYTHING + 5, LONGEST, best=EVERYTHING + 5))[0]
    assert len({tuple(each.tokens) for each in found}) == len(found) == EVERYTHING


@pytest.mark.parametrize("beam", [1, 2, 4])
def test_pictures_together_are_the_pictures_one_by_one(beam: int) -> None:
    model, features = decoder(), pictures(5)
    together = beam_search(model, features, Search(beam, longest=6, best=beam))
    for row, expected in enumerate(together):
        alone = beam_search(model, features.select(torch.tensor([row])), Search(beam, longest=6, best=beam))[0]
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
    for row, hypotheses in enumerate(beam_search(model, features, Search(beam=4, longest=5, best=4))):
        assert len(hypotheses) == 4
        assert [each.score for each in hypotheses] == sorted((each.score for each in hypotheses), reverse=True)
        for each in hypotheses:
            log_probs, weights = score(model, features, row, each.tokens)
            torch.testing.assert_close(each.token_log_probs.double(), log_probs, rtol=0, atol=1e-5)
            torch.testing.assert_close(each.weights, weights)
            assert each.score == pytest.approx(each.token_log_probs.sum().item(), abs=1e-5)


def test_a_finished_caption_keeps_its_score_while_others_go_on() -> None:
    model = Scripted({START: {4: 0.6, 5: 0.4}, 4: {END: 0.9, 6: 0.1}, 5: {6: 1.0}, 6: {6: 0.4, END: 0.6}})
    found = beam_search(model, pictures(1), Search(beam=2, longest=10, best=2))[0]
    assert found[0].tokens == [4]
    assert found[0].score == pytest.approx(torch.tensor(0.54).log().item())
    assert found[1].tokens == [5, 6]


def test_greedy_search_is_misled_where_a_beam_is_not() -> None:
    model = Scripted({START: {4: 0.6, 5: 0.4}, 4: {END: 0.5, 6: 0.5}, 5: {END: 1.0}, 6: {END: 1.0}})
    assert beam_search(model, pictures(1), Search(beam=1))[0][0].tokens in ([4], [4, 6])
    assert beam_search(model, pictures(1), Search(beam=2))[0][0].tokens == [5]


def test_length_power_ranks_the_same_captions_by_their_mean() -> None:
    model = Scripted({START: {4: 0.5, 5: 0.5}, 4: {END: 0.5, 6: 0.5}, 5: {5: 0.5, 6: 0.5}, 6: {6: 0.1, END: 0.9}})
    plain, by_mean = (beam_search(model, pictures(1), Search(3, 4, power, best=3))[0] for power in (0.0, 1.0))
    assert {tuple(each.tokens) for each in plain} == {tuple(each.tokens) for each in by_mean}
    assert plain[0].tokens == [4]
    assert len(by_mean[0].tokens) == 2
    assert by_mean[0].score == pytest.approx(torch.tensor(0.5 * 0.5 * 0.9).log().item() / 3)


@pytest.mark.parametrize("longest", [1, 2, 5])
def test_no_caption_is_longer_than_the_longest(longest: int) -> None:
    never_ends = Scripted({word: {4: 0.9, 5: 0.1} for word in (START, 4, 5)})
    for each in beam_search(never_ends, pictures(1), Search(beam=2, longest=longest, best=2))[0]:
        assert len(each.tokens) == longest
        assert len(each.token_log_probs) == len(each.weights) == longest + 1


def test_padding_start_and_unknown_word_are_never_written() -> None:
    tempted = {PAD: 0.2, START: 0.2, UNKNOWN: 0.5, 4: 0.06, END: 0.04}
    model = Scripted(dict.fromkeys(range(WORDS), tempted))
    for each in beam_search(model, pictures(1), Search(beam=5, longest=6, best=5))[0]:
        assert set(each.tokens) <= {4, 5, 6}


def test_weights_belong_to_the_step_before_their_word() -> None:
    model = Scripted({START: {4: 0.6, 5: 0.4}, 4: {6: 0.5, 4: 0.5}, 5: {6: 1.0}, 6: {END: 1.0}})
    for each in beam_search(model, pictures(1), Search(beam=3, longest=4, best=3))[0]:
        assert each.weights.argmax(-1).tolist() == [START, *each.tokens], "the script looks at the word it goes on from"


def test_a_model_that_has_diverged_gives_a_caption_without_a_score() -> None:
    model = Scripted(dict.fromkeys(range(WORDS), dict.fromkeys(range(WORDS), math.nan)))
    for found in beam_search(model, pictures(2), Search(beam=2, longest=3)):
        assert math.isnan(found[0].score)


@pytest.mark.parametrize("name", ["beam", "longest"])
def test_a_search_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"search.{name} must be at least 1, not 0"):
        Search(**{name: 0})


SEARCHES = {
    "greedy": Search(1, 6),
    "beam": Search(4, 6, best=4),
    "by the mean": Search(4, 6, 1.0, best=2),
    "diverse": Search(6, 6, best=4, diversity=Diversity(3, 0.7)),
    "constrained": Search(6, 6, best=3, shortest=2, words=Wording(2, (), ("b",))),
    "constrained and diverse": Search(6, 12, best=3, words=Wording(0, ("a",), ("b",)), diversity=Diversity(2, 0.5)),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_pictures_together_are_the_pictures_one_by_one_whenever_each_is_done(name: str) -> None:
    model = Tables(30, sharpness=3.0)
    together = beam_search(model, pictures_of(*range(30)), SEARCHES[name], VOCABULARY)
    assert "diverse" in name or model.asked[-1] < 30, "pictures that are done are left out"
    for picture, expected in enumerate(together):
        alone = beam_search(model, pictures_of(picture), SEARCHES[name], VOCABULARY)[0]
        assert [each.tokens for each in alone] == [each.tokens for each in expected]
        for one, other in zip(alone, expected, strict=True):
            assert one.score == pytest.approx(other.score)
            torch.testing.assert_close(one.token_log_probs, other.token_log_probs)
            assert torch.equal(one.weights, other.weights)
            assert one.weights.argmax(-1).tolist() == [START, *one.tokens], "it looks at the word it goes on from"


def test_the_search_ends_when_no_caption_that_goes_on_can_win_and_finds_what_it_would_have_found() -> None:
    model, features = Tables(10, sharpness=3.0), pictures_of(*range(10))
    best = beam_search(model, features, Search(5, 20))
    asked = sum(model.asked)
    model.asked.clear()
    every = beam_search(model, features, Search(5, 20, best=5))
    assert asked < sum(model.asked)
    assert [each[0].tokens for each in best] == [each[0].tokens for each in every]


@pytest.mark.parametrize("length_power", [0.5, 1.0, 2.0])
def test_with_normalised_lengths_a_longer_caption_that_may_still_win_is_waited_for(length_power: float) -> None:
    model, features = Tables(10), pictures_of(*range(10))
    for picture, found in enumerate(beam_search(model, features, Search(121, 4, length_power))):
        score, words = model.ranked(picture, 4, length_power)[0]
        assert tuple(found[0].tokens) == words
        assert found[0].score == pytest.approx(score)


def diverse(model: Tables, picture: int, beam: int, longest: int, diversity: Diversity) -> set[tuple[int, ...]]:
    """Diverse beam search as it is told in words: each group after the other at each step."""
    groups: list[list[tuple[int, ...]]] = [[()] for _ in range(diversity.groups)]
    for position in range(longest + 1):
        chosen: list[int] = []
        for index, group in enumerate(groups):
            options = []
            for words in group:
                if words and words[-1] == END:
                    options.append((model.score(picture, words[:-1]), words, False))
                    continue
                for word in (END, 4, 5, 6) if position < longest else (END,):
                    total = model.log_prob(picture, (*words, word))
                    options.append((total - diversity.strength * chosen.count(word), (*words, word), True))
            best = sorted(options, key=lambda option: -option[0])[: beam // diversity.groups]
            groups[index] = [words for _, words, _ in best]
            chosen += [words[-1] for _, words, new in best if new]
    return {words[:-1] for group in groups for words in group}


@pytest.mark.parametrize("diversity", [Diversity(2, 0.0), Diversity(2, 0.6), Diversity(3, 2.0), Diversity(6, 50.0)])
def test_groups_keep_away_from_what_earlier_groups_write(diversity: Diversity) -> None:
    model = Tables(10, sharpness=2.0)
    search = Search(6, 5, best=6, diversity=diversity)
    for picture, found in enumerate(beam_search(model, pictures_of(*range(10)), search)):
        assert {tuple(each.tokens) for each in found} == diverse(model, picture, 6, 5, diversity)
        for each in found:
            assert each.score == pytest.approx(model.score(picture, tuple(each.tokens))), "the model's own"


def test_diverse_captions_differ_more_from_each_other() -> None:
    model, features = Tables(10, sharpness=2.0), pictures_of(*range(10))
    plain, apart = (
        sum(len({each.tokens[0] for each in found if each.tokens}) for found in beam_search(model, features, search))
        for search in (Search(3, 5, best=3), Search(3, 5, best=3, diversity=Diversity(3, 20.0)))
    )
    assert apart > plain


@pytest.mark.parametrize("size", [5, 63, 64, 1000, 5003])
def test_the_likeliest_words_are_those_of_a_sort(size: int) -> None:
    log_probs = torch.randn(3, 4, size)
    log_probs[0, 0, : size // 2] = -torch.inf
    for number in (1, 5, 7):
        values, words = likeliest(log_probs, number)
        assert torch.equal(values, log_probs.sort(descending=True).values[..., :number])
        assert torch.equal(values, log_probs.gather(-1, words))


def test_a_beam_wider_than_the_vocabulary_is_filled_as_captions_branch() -> None:
    found = beam_search(Tables(1), pictures_of(0), Search(50, 4, best=50))[0]
    assert len({tuple(each.tokens) for each in found}) == 50
