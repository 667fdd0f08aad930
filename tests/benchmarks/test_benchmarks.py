"""Each benchmark end to end at tiny sizes: it compares the results first, then prints times and ratios."""

from __future__ import annotations

import re
import time

import pytest
import torch

from benchmarks import beam_search, caption_metrics, cider_reward, feature_cache, timing, train_step, vqa_speed
from captioning.metrics.java import TOKENIZER_JAR, why_not
from common.errors import SaccadeError

SIZES = {"threads": 1, "repeats": 1, "regions": 6, "width": 8, "hidden": 8, "vocabulary": 30, "words": 3}
TINY = [f"--{name}={size}" for name, size in SIZES.items()]

NO_TOKENIZER = why_not(TOKENIZER_JAR)
CIDER = ["--repeats=1", "--pictures=4", "--corpus=20", "--words=6", "--vocabulary=50"]


@pytest.fixture(autouse=True)
def _small_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "PRODUCT_SIZE", 16)
    monkeypatch.setattr(timing, "COPIED", 1 << 10)


def rows(printed: str) -> dict[str, tuple[float, float, float]]:
    """Milliseconds, units per second and ratio by name."""
    found = re.findall(r"^ *1  (\S.*?) {2,}([\d.]+) +([\d.]+) +([\d.]+)$", printed, re.M)
    return {name: (float(ms), float(rate), float(ratio)) for name, ms, rate, ratio in found}


def test_train_step_prints_both_implementations_and_the_floor(capsys: pytest.CaptureFixture[str]) -> None:
    train_step.main([*TINY, "--batch", "2"])
    table = rows(capsys.readouterr().out)
    precisions = ["Saccade", "Saccade, medium", "Saccade, bf16-mixed"]
    assert list(table) == ["word by word", *precisions, "arithmetic alone", "and its memory"]
    assert table["word by word"][2] == 1.0


def test_train_step_times_nothing_when_the_losses_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_step.WordByWord, "copy", lambda self, ours: None)
    with pytest.raises(SaccadeError, match="step 0: the losses differ"):
        train_step.main([*TINY, "--batch", "2"])


SEARCHED = [*TINY, "--pictures=3", "--beam=2", "--transformed=2"]


@pytest.mark.parametrize("precision", beam_search.PRECISIONS)
def test_beam_search_prints_all_ways_and_the_floor(capsys: pytest.CaptureFixture[str], precision: str) -> None:
    try:
        beam_search.main([*SEARCHED, "--precision", precision])
    finally:
        torch.set_float32_matmul_precision("highest")
    table = rows(capsys.readouterr().out)
    ways = ["step by step", "step by step, oneDNN", "one picture at a time", "all at once", "greedy"]
    searched = [*ways, "arithmetic alone", "and its memory"]
    assert list(table) == [*searched, "reading anew", "incremental", "greedy, reading anew", "greedy, incremental"]


def test_beam_search_times_nothing_when_the_captions_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beam_search.StepByStep, "write", lambda self, picture: [7, 7])
    with pytest.raises(SaccadeError, match="picture 0: the captions differ"):
        beam_search.main(SEARCHED)


def test_cider_reward_prints_both_implementations(capsys: pytest.CaptureFixture[str]) -> None:
    cider_reward.main(CIDER)
    table = rows(capsys.readouterr().out)
    assert list(table) == ["formula as it stands", "Saccade"]


def test_cider_reward_times_nothing_when_the_rewards_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cider_reward, "SIGMA", 1.0)
    with pytest.raises(SaccadeError, match="the rewards differ, by up to"):
        cider_reward.main(CIDER)


@pytest.mark.skipif(NO_TOKENIZER is not None, reason=str(NO_TOKENIZER))
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the official classes leave pipes open
def test_caption_metrics_prints_both_implementations(capsys: pytest.CaptureFixture[str]) -> None:
    caption_metrics.main(["--captions=8", "--vocabulary=50"])
    assert list(rows(capsys.readouterr().out)) == ["official scripts", "Saccade"]


def test_caption_metrics_times_nothing_when_the_scores_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caption_metrics, "why_not", lambda _: None)
    monkeypatch.setattr(caption_metrics, "official_scores", lambda *_: {"BLEU-1": 7.0})
    with pytest.raises(SaccadeError, match=r"BLEU-1 differs: 7\.0 by the official scripts"):
        caption_metrics.main(["--captions=8", "--vocabulary=50"])


def test_the_ways_run_in_turns_and_the_first_turn_does_not_count() -> None:
    turns: list[str] = []

    def slow() -> None:
        turns.append("slow")
        time.sleep(0.2 if turns.count("slow") == 1 else 0.02)  # as if the first run had to warm up

    times = timing.in_turns({"slow": slow, "fast": lambda: turns.append("fast")}, repeats=3)
    assert turns == ["slow", "fast"] * 4
    assert times["fast"] < 0.02 <= times["slow"] < 0.2


@pytest.mark.parametrize("kind", [[], ["--boxes"]])
def test_feature_cache_prints_all_three_ways(kind: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--pictures=5", "--batch=2", "--regions=3", "--width=4", "--threads=1", "--repeats=1"]
    feature_cache.main([*sizes, *kind])
    assert list(rows(capsys.readouterr().out))[:3] == ["a .npy for each", "memory map", "Saccade"]


def test_feature_cache_times_nothing_when_what_is_read_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    other = feature_cache.features(2, 3, 4, False)
    monkeypatch.setattr(feature_cache.FeatureCache, "batch", lambda self, images: other)
    with pytest.raises(SaccadeError, match="what is read differs"):
        feature_cache.main(["--pictures=5", "--batch=2", "--regions=3", "--width=4"])


ASKED = [
    *("--threads=1", "--repeats=1", "--pictures=3", "--batch=2", "--questions=2", "--words=4", "--hidden=8"),
    *("--vocabulary=20", "--answers=5", "--regions=6", "--width=7", "--boxes=3", "--box_width=9", "--layers=2"),
]


def test_vqa_speed_prints_both_implementations_of_both_models(capsys: pytest.CaptureFixture[str]) -> None:
    vqa_speed.main(ASKED)
    names = re.findall(r"^ *1  (\S.*?) {2,}", capsys.readouterr().out, re.M)
    floor = ["arithmetic alone", "and its memory"]
    answering = ["as most write it", "the same, oneDNN", "Saccade", *floor]
    assert names == 2 * [*answering, "as most write it", "Saccade", *floor]


@pytest.mark.parametrize("model", ["hierarchical", "modular"])
def test_vqa_speed_times_nothing_when_the_logits_differ(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = vqa_speed.answer
    monkeypatch.setattr(vqa_speed, "answer", lambda *given: answer(*given) + 1e-2)
    with pytest.raises(SaccadeError, match=r"the logits differ, by up to 0\.01"):
        vqa_speed.main([*ASKED, "--model", model])


def test_vqa_speed_times_nothing_when_the_losses_differ() -> None:
    losses = iter([1.0, 1.0, 1.0, 1.1])
    with pytest.raises(SaccadeError, match=r"step 1: the losses differ, 1\.0 as most write it and 1\.1 of ours"):
        vqa_speed.check_training({"plain": lambda: next(losses), "ours": lambda: next(losses)})
