from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from common.data.vocabulary import END
from common.errors import ConfigError
from common.search import Diversity, Sampling, Search, Wording, beam_search, sample
from common.search.constraints import NoRepeat, Required
from tests.common.search.scripted import VOCABULARY, WORDS, Tables, pictures_of

A, B, C = 4, 5, 6
LONGEST = 4
EVERYTHING = sum(3**length for length in range(LONGEST + 1))  # captions there are
Words = tuple[int, ...]


def repeats(words: Words, size: int) -> bool:
    runs = [words[start : start + size] for start in range(len(words) - size + 1)]
    return len(set(runs)) < len(runs)


ASKED: dict[str, tuple[dict[str, Any], Callable[[Words], bool]]] = {
    "nothing": ({}, lambda words: True),
    "shortest": ({"shortest": 2}, lambda words: len(words) >= 2),
    "of one length": ({"shortest": LONGEST}, lambda words: len(words) == LONGEST),
    "no word twice": ({"words": Wording(no_repeat=1)}, lambda words: not repeats(words, 1)),
    "no pair twice": ({"words": Wording(no_repeat=2)}, lambda words: not repeats(words, 2)),
    "no three twice": ({"words": Wording(no_repeat=3)}, lambda words: not repeats(words, 3)),
    "forbidden": ({"words": Wording(forbidden=("b",))}, lambda words: B not in words),
    "required": ({"words": Wording(required=("b",))}, lambda words: B in words),
    "two required": ({"words": Wording(required=("c", "a"))}, lambda words: {A, C} <= {*words}),
    "one of two": ({"words": Wording(required=("a|b",))}, lambda words: bool({A, B} & {*words})),
    "all at once": (
        {"shortest": 3, "words": Wording(2, ("a",), ("c", "B"))},
        lambda words: len(words) > 2 and not repeats(words, 2) and {B, C} == {*words},
    ),
}


@pytest.mark.parametrize("length_power", [0.0, 1.0])
@pytest.mark.parametrize("name", ASKED)
def test_a_beam_as_wide_as_all_captions_finds_all_that_meet_what_is_asked(name: str, length_power: float) -> None:
    settings, meets = ASKED[name]
    model = Tables(2)
    search = Search(EVERYTHING, LONGEST, length_power, best=EVERYTHING, **settings)
    for picture, found in enumerate(beam_search(model, pictures_of(0, 1), search, VOCABULARY)):
        expected = [pair for pair in model.ranked(picture, LONGEST, length_power) if meets(pair[1])]
        assert [tuple(each.tokens) for each in found] == [words for _, words in expected]
        assert [each.score for each in found] == pytest.approx([score for score, _ in expected])


@pytest.mark.parametrize("name", ASKED)
def test_narrow_beams_write_different_captions_that_meet_what_is_asked_best_first(name: str) -> None:
    settings, meets = ASKED[name]
    model, features = Tables(8, sharpness=3.0), pictures_of(*range(8))
    for beam in (3, 5):
        search = Search(beam, LONGEST, best=beam, **settings)
        for picture, found in enumerate(beam_search(model, features, search, VOCABULARY)):
            assert found
            written = [tuple(each.tokens) for each in found]
            assert len(set(written)) == len(written)
            assert all(map(meets, written))
            assert [each.score for each in found] == pytest.approx([model.score(picture, words) for words in written])
            assert written == sorted(written, key=lambda words: -model.score(picture, words))


@pytest.mark.parametrize("name", [name for name in ASKED if not ASKED[name][0].get("words", Wording()).required])
def test_samples_meet_what_is_asked(name: str) -> None:
    settings, meets = ASKED[name]
    found = sample(Tables(2), pictures_of(0, 1), 40, Sampling(LONGEST, **settings), VOCABULARY)
    for tokens in found.tokens.flatten(0, 1).tolist():
        assert meets(tuple(tokens[: tokens.index(END)]))


def test_a_required_word_is_written_where_it_costs_least() -> None:
    model = Tables(20, sharpness=2.0)
    search = Search(8, LONGEST, words=Wording(required=("b",)))
    best = [next(score for score, words in model.ranked(picture, LONGEST) if B in words) for picture in range(20)]
    found = beam_search(model, pictures_of(*range(20)), search, VOCABULARY)
    assert sum(each[0].score == pytest.approx(score) for each, score in zip(found, best, strict=True)) >= 18


def test_n_grams_are_compared_with_a_loop() -> None:
    written = torch.randint(4, WORDS, (3, 4, 9))
    for size in (1, 2, 3):
        log_probs = torch.zeros(3, 4, WORDS)
        NoRepeat(size)(log_probs, written)
        for picture in range(3):
            for sequence in range(4):
                words = tuple(written[picture, sequence].tolist())
                runs = {words[start : start + size] for start in range(len(words) - size + 1)}
                banned = {word for word in range(WORDS) if (*words[len(words) - size + 1 :], word) in runs}
                assert set((log_probs[picture, sequence] == -torch.inf).nonzero().flatten().tolist()) == banned


def test_room_is_kept_for_what_must_be_written() -> None:
    must = Required([[A], [B, C]], longest=3)
    log_probs = torch.zeros(1, 3, WORDS)
    must(log_probs, torch.tensor([[[A], [B], [6]]]))
    assert (log_probs[..., END] == -torch.inf).all()
    assert (log_probs.isfinite().sum(-1) == WORDS - 1).all(), "two words fit, and one is wanted"
    log_probs = torch.zeros(1, 3, WORDS)
    must(log_probs, torch.tensor([[[B, B], [A, A], [A, C]]]))
    allowed = [set(row.isfinite().nonzero().flatten().tolist()) for row in log_probs[0]]
    assert allowed == [{A}, {B, C}, set(range(WORDS))]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Wording(forbidden=("a",), required=("b", "A")), "'a' is both required and forbidden"),
        (lambda: Wording(required=("a|b", "b")), "'b' is required twice: name it in one entry of words.required"),
        (lambda: Wording(required=("two dogs",)), "words.required: 'two dogs' is no single word"),
        (lambda: Wording(forbidden=("",)), "words.forbidden: '' is no single word"),
        (lambda: Wording(no_repeat=-1), "words.no_repeat must be at least 0, not -1"),
        (lambda: Search(shortest=6, longest=5), "search.shortest 6 is more than search.longest 5"),
        (lambda: Search(shortest=-1), "search.shortest must be at least 0, not -1"),
        (lambda: Search(best=4), "search.best 4 is more than search.beam 3"),
        (lambda: Search(length_power=float("nan")), "search.length_power must be at least 0, not nan"),
        (lambda: Search(4, diversity=Diversity(3)), "3 diversity.groups do not divide search.beam 4"),
        (lambda: Diversity(0), "diversity.groups must be at least 1, not 0"),
        (lambda: Diversity(2, -1.0), "diversity.strength must be at least 0, not -1.0"),
        (lambda: Diversity(strength=0.5), "diversity.strength sets groups apart, and there is one"),
        (
            lambda: Search(9, longest=2, words=Wording(required=("a", "b", "c"))),
            "3 required words have no room in search.longest 2",
        ),
        (
            lambda: Search(2, words=Wording(required=("a", "b"))),
            "search.beam 2 is too narrow for 2 required words: at least 3",
        ),
        (
            lambda: Search(4, diversity=Diversity(2), words=Wording(required=("a", "b"))),
            "search.beam 4 is too narrow for 2 required words in each group: at least 6",
        ),
        (
            lambda: Sampling(words=Wording(required=("a",))),
            "words that are drawn cannot be required: search for 'a' instead",
        ),
        (lambda: Sampling(3, shortest=4), "sampling.shortest 4 is more than sampling.longest 3"),
    ],
)
def test_what_contradicts_itself_is_refused_in_a_line(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make()
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (Wording(required=("a", "dog")), "the required word 'dog' is none of the 3 words"),
        (Wording(forbidden=("dog",)), "the forbidden word 'dog' is none of the 3 words"),
    ],
)
def test_words_that_the_model_does_not_know_are_named(words: Wording, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        beam_search(Tables(1), pictures_of(0), Search(words=words), VOCABULARY)


def test_words_without_a_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="no vocabulary is given that knows them"):
        beam_search(Tables(1), pictures_of(0), Search(words=Wording(forbidden=("a",))))


def test_what_no_caption_can_meet_is_told() -> None:
    words = Wording(no_repeat=1)
    message = "no caption of 4 to 5 words meets what is asked of its words"
    with pytest.raises(ConfigError, match=message):
        beam_search(Tables(1), pictures_of(0), Search(longest=5, shortest=4, words=words))
    with pytest.raises(ConfigError, match=message):
        sample(Tables(1), pictures_of(0), 2, Sampling(longest=5, shortest=4, words=words))
