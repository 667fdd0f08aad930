"""What the Java programs do when they are missing, fail or hang: with scripts in the place of `java`."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import captioning.metrics.spice
from captioning.metrics import score_captions
from captioning.metrics.java import TOKENIZER_JAR, why_not
from captioning.metrics.meteor import STATISTICS, MeteorProgram, meteor_of, meteor_statistics
from captioning.metrics.spice import spice, why_no_spice
from captioning.metrics.tokens import split_captions
from common.errors import ConfigError

pytest.importorskip("pycocoevalcap.bleu.bleu")
HYPOTHESES, REFERENCES = [["a", "dog"]], [[["the", "dog"], ["a", "cat"]]]

FakeJava = Callable[[str], None]


@pytest.fixture
def fake_java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeJava:
    """Puts a shell script in the place of `java`."""

    def put(script: str) -> None:
        program = tmp_path / "java"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    return put


def test_a_meteor_that_hangs_is_given_up(fake_java: FakeJava) -> None:
    fake_java("exec sleep 60")
    begin = time.monotonic()
    with pytest.raises(ConfigError, match=r"METEOR's Java program failed \(it took longer than 0 s\)"):
        meteor_statistics(HYPOTHESES, REFERENCES, seconds=0.3)
    assert time.monotonic() - begin < 20


def test_meteor_by_hand_from_the_programs_statistics(fake_java: FakeJava) -> None:
    # "a dog running on grass" against "a dog runs on the grass": two function words and two content words alike, and
    # one of the same stem, in two chunks
    row = "5 6 2 3  2 2 2 2  1 1 0 0  0 0 0 0  0 0 0 0  2 5 5"
    fake_java(f"while read line; do echo {row}; done")
    statistics = meteor_statistics(HYPOTHESES, REFERENCES)
    found = 0.75 * (2 + 0.6 * 1) + 0.25 * 2
    precision, recall = found / (0.75 * 3 + 0.25 * 2), found / (0.75 * 3 + 0.25 * 3)
    mean = precision * recall / (0.85 * precision + 0.15 * recall)
    assert meteor_of(statistics) == pytest.approx([mean * (1 - 0.6 * (2 / 5) ** 0.2)])


def test_meteors_answer_must_have_all_its_numbers(fake_java: FakeJava) -> None:
    fake_java("read line; echo 1 2 3")
    with pytest.raises(ConfigError, match=f"it gave 3 numbers where {STATISTICS} were due"):
        meteor_statistics(HYPOTHESES, REFERENCES)


def test_a_meteor_that_was_interrupted_answers_no_more(fake_java: FakeJava) -> None:
    class Interrupted(list[list[str]]):
        def __iter__(self) -> Iterator[list[str]]:
            yield from super().__iter__()
            raise KeyboardInterrupt

    fake_java(f"while read line; do echo {'1 ' * STATISTICS}; done")
    program = MeteorProgram()
    for _ in range(2):
        assert program.statistics(HYPOTHESES, REFERENCES).shape == (1, STATISTICS)
    with pytest.raises(KeyboardInterrupt):
        program.statistics(Interrupted(HYPOTHESES), REFERENCES)
    with pytest.raises(ConfigError, match="METEOR's Java program failed"):
        program.statistics(HYPOTHESES, REFERENCES)


def test_a_meteor_that_was_killed_between_two_questions_is_told_of(fake_java: FakeJava) -> None:
    fake_java(f"read line; echo {'1 ' * STATISTICS}")
    program = MeteorProgram()
    program.statistics(HYPOTHESES, REFERENCES)
    with pytest.raises(ConfigError, match="METEOR's Java program failed"):
        program.statistics(HYPOTHESES, REFERENCES)


def test_without_its_parser_spice_says_what_is_missing() -> None:
    if why_no_spice() is None:
        pytest.skip("SPICE is complete here")
    with pytest.raises(ConfigError, match=r"SPICE cannot be computed: .*(stanford-corenlp|java|pycocoevalcap)"):
        spice(HYPOTHESES, REFERENCES)


def test_spice_reads_each_images_score(fake_java: FakeJava, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(captioning.metrics.spice, "SPICE_PARTS", ())
    scores = json.dumps([{"image_id": number, "scores": {"All": {"f": number / 4}}} for number in (1, 0)])
    (tmp_path / "scores.json").write_text(scores)
    fake_java(f'cp "$4" {tmp_path}/given.json; cp {tmp_path}/scores.json "$6"')
    assert spice([["a", "dog"], []], [*REFERENCES, [["x"]]]) == pytest.approx([0, 0.25])
    assert json.loads((tmp_path / "given.json").read_text()) == [
        {"image_id": 0, "test": "a dog", "refs": ["the dog", "a cat"]},
        {"image_id": 1, "test": "", "refs": ["x"]},
    ]
    with pytest.raises(ConfigError, match=r"SPICE's Java program failed \(its scores cannot be read"):
        spice([[]] * 3, [[["x"]]] * 3)
    assert score_captions({1: "a", 2: "b"}, {1: ["a"], 2: ["c"]}, meteor=False)["SPICE"] == pytest.approx(12.5)


def test_what_a_failing_program_says_is_told(fake_java: FakeJava) -> None:
    fake_java("echo out of memory >&2; exit 3")
    with pytest.raises(ConfigError, match=r"the tokenizer's Java program failed \(exit code 3: out of memory\)"):
        split_captions(["a dog"], "official")


def test_the_official_tokenizer_must_give_a_line_for_each_caption(fake_java: FakeJava) -> None:
    fake_java("cat; echo one more")
    with pytest.raises(ConfigError, match="it gave 2 lines for 1 captions"):
        split_captions(["a dog"], "official")


def test_without_java_the_official_tokenizer_is_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="java is not installed; leave out --tokens official"):
        score_captions({1: "a"}, {1: ["a"]}, tokens="official")


@pytest.mark.skipif(why_not(TOKENIZER_JAR) is not None, reason=str(why_not(TOKENIZER_JAR)))
def test_both_tokenizers_give_the_same_lines_whatever_white_space_a_caption_has() -> None:
    captions = [
        "A dog's “toy”,\u2028a ball\r\nand é 日本!!",
        "",
        "22 3/4 St. ... (No. 5)",
        "J. Smith\x0b\x85 isn't here.",
    ]
    assert split_captions(captions) == split_captions(captions, "official")
    assert split_captions(captions)[2] == "22\N{NO-BREAK SPACE}3/4 st. -lrb- no. 5 -rrb-"
