"""The expected words are those of the official evaluation's tokenizer, Stanford's PTBTokenizer of CoreNLP 3.4.1."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.tokenizer import tokenize


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A Black DOG runs .", "a black dog runs"),
        ("Two dogs; one cat, no birds: all asleep...", "two dogs one cat no birds all asleep"),
        ('The sign says "stop"', "the sign says stop"),
        ("“smart” ‘quotes’ «foo»", "smart quotes foo"),
        ("it isn't, can't, won't or don’t", "it is n't ca n't wo n't or do n't"),
        ("I'm sure they're what we've said he'd do", "i 'm sure they 're what we 've said he 'd do"),
        ("shouldn't've", "should n't 've"),
        ("the man's dog, the boys' dog", "the man 's dog the boys dog"),
        ("DON'T", "do n't"),
        ("cannot gonna gotta wanna", "can not gon na got ta wan na"),
        ("o'clock O'Neil hors d'oeuvre Hawai'i", "o'clock o'neil hors d'oeuvre hawai'i"),
        ("rock 'n' roll, Slip 'n Slide, 'Main Street'", "rock 'n' roll slip 'n slide main street"),
        ("the '80s, the 1980's", "the '80s the 1980 's"),
        ("a tri-colored t-shirt, a five-year-old", "a tri-colored t-shirt a five-year-old"),
        ("well--known - a dash – en — em", "well known a dash en em"),
        ("black/white and/or 1/2 ½ 24/7", "black/white and/or 1/2 1/2 24/7"),
        ("a dog (brown) [x] {y}", "a dog -lrb- brown -rrb- -lsb- x -rsb- -lcb- y -rcb-"),
        ("what?! wow!! yes! no?", "what ?! wow !! yes no"),
        ("1,000 people at 3:30pm, 7am, 2.5 m", "1,000 people at 3:30 pm 7am 2.5 m"),
        ("2nd and 21st, No", "2nd and 21st no"),
        ("5% of $5.50 or £5", "5 % of $ 5.50 or # 5"),
        ("Mr. Smith of St. Louis, D.C., at 5 p.m.", "mr. smith of st. louis d.c. at 5 p.m."),
        ("John F. Kennedy Jr. etc.", "john f. kennedy jr. etc."),
        ("AT&T, rock & roll, a&b &amp; c", "at&t rock & roll a & b & c"),
        ("see www.foo.com, foo.com or foo@bar.com.", "see www.foo.com foo.com or foo@bar.com"),
        ("end.The start", "end.the start"),
        ("tape_dispenser", "tape_dispenser"),
        ("#1 @home * ** = + c++", "# 1 @home * ** = + c++"),
        ("café naïve 日本 हिन्दी", "café naïve 日本 हिन्दी"),
        ("a😀b", "a b"),
        ("5'10 1½ cups", "5 10 1 1/2 cups"),
        ("<b>bold</b> 3 < 4", "<b> bold </b> 3 < 4"),
        (":-) :D ^_^ =[1", ":--rrb- :d ^_^ = -lsb- 1"),
        ("a sign that reads K.", "a sign that reads k"),
        ("reads k. A man by J. Smith", "reads k a man by j. smith"),
        ("in D.C. The end of it.", "in d.c. the end of it"),
        ("No. 5, no.5, fig. 2 but no. Yes", "no. 5 no. 5 fig. 2 but no yes"),
        ("Mass. or mass, Univ. of Vt.", "mass. or mass univ. of vt."),
        ("call (555)555-1234 #tag9", "call -lrb-555-rrb-555-1234 #tag 9"),
        ("a 22 3/4 inch board", "a 22 3/4 inch board"),
        ("", ""),
        (" ?! ... -- ' \" ", "?!"),
    ],
)
def test_words_are_those_of_the_official_evaluation(text: str, words: str) -> None:
    assert tokenize(text) == words.split()


@pytest.mark.parametrize("space", ["\n", "\r\n", "\t", "\x0b", "\x85", "\u2028", "\u00a0", "  "])
def test_any_white_space_parts_words(space: str) -> None:
    assert tokenize(f"{space}a{space}dog{space}") == ["a", "dog"]


@pytest.mark.parametrize("sentence", ["The dog is n't here .", "ca n't", "a -lrb- b -rrb-", "the man 's p.m. 1/2"])
def test_tokenizing_tokens_changes_nothing(sentence: str) -> None:
    tokens = tokenize(sentence)
    assert tokenize(" ".join(tokens)) == tokens


@given(st.text())
def test_any_text_gives_words_in_lower_case_without_spaces(text: str) -> None:
    for word in tokenize(text):
        assert word
        assert word == word.lower()
        assert len(word.split()) == 1


@given(st.lists(st.text()))
def test_no_rule_looks_beyond_a_space_but_after_a_full_stop(texts: list[str]) -> None:
    texts = [text.replace(".", "") for text in texts]
    assert tokenize(" ".join(texts)) == [word for text in texts for word in tokenize(text)]


@pytest.mark.parametrize("part", ["a", ".a", "+a", "com._", "1a.", "n't", "a-", "http://", "'"])
def test_time_is_in_proportion_to_the_text(part: str) -> None:
    start = time.perf_counter()
    tokenize(part * 10_000)
    assert time.perf_counter() - start < 3  # it is 0.1 s; in proportion to the square it would be 10 s and more
