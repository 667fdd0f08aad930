from __future__ import annotations

import logging
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from captioning.metrics import CiderD
from captioning.objectives import SelfCritical, self_critical
from captioning.rewards import CiderDReward
from common.data.vocabulary import END
from common.errors import ConfigError, DataError
from common.search import Samples, Sampling, Search, beam_search, sample
from tests.captioning.objectives.toy import EVERYTHING, LONGEST, RECORDS, WORDS, A, B, Table, Toy, batch, padded

Text = tuple[int, ...]
WORTH = {text: worth for worth, text in zip((0.25, 2.0, -1.0, 0.5, 3.0, 1.0, 0.0), EVERYTHING, strict=True)}


def objective(rewards: Any = None, **settings: Any) -> SelfCritical:
    made = SelfCritical(WORDS, rewards=rewards or [Table(WORTH)], longest=LONGEST, **settings)
    made.prepare(RECORDS)
    return made


@pytest.fixture
def draws(monkeypatch: pytest.MonkeyPatch) -> list[list[Text]]:
    """What is drawn, to be filled: the captions of each picture. Greedy search is left as it is."""
    texts: list[list[Text]] = []

    def drawn(decoder: Toy, features: Any, samples: int, sampling: Sampling) -> Samples:
        if sampling.top_k:
            return sample(decoder, features, samples, sampling)
        assert not torch.is_grad_enabled()
        tokens, keep = padded(texts)
        return Samples(tokens, keep, torch.zeros(keep.shape))

    monkeypatch.setattr(self_critical, "sample", drawn)
    return texts


def loss(made: SelfCritical, decoder: Toy, count: int = 1) -> Tensor:
    return made(batch(decoder, count))["self_critical"]


@pytest.mark.parametrize("baseline", ["leave-one-out", "greedy"])
def test_the_estimators_mean_over_all_samples_is_the_exact_gradient(draws: list[list[Text]], baseline: Any) -> None:
    decoder = Toy()
    expected = sum(decoder.log_prob(text).exp() * WORTH[text] for text in EVERYTHING)
    assert sum(decoder.log_prob(text).exp().item() for text in EVERYTHING) == pytest.approx(1)
    exact = torch.autograd.grad(torch.as_tensor(expected), decoder.table)[0]
    made = objective(baseline=baseline, samples=2)
    mean = torch.zeros_like(exact)
    for pair in product(EVERYTHING, repeat=2):
        draws[:] = [list(pair)]
        words = sum(map(len, pair))  # the loss is a mean over them
        value = loss(made, decoder) * words / 2
        probability = decoder.log_prob(pair[0]).exp().item() * decoder.log_prob(pair[1]).exp().item()
        mean -= probability * torch.autograd.grad(value, decoder.table)[0]
    torch.testing.assert_close(mean, exact, rtol=0, atol=1e-6)


def test_the_loss_is_the_sum_over_words_and_ends_by_hand(draws: list[list[Text]]) -> None:
    decoder = Toy()
    texts = [[(END,), (A, END)], [(B, B), (B, END)]]
    draws[:] = texts
    total, words = 0.0, 0
    for row in texts:
        for text, other in (row, row[::-1]):
            total -= (WORTH[text] - WORTH[other]) * decoder.log_prob(text).item()
            words += len(text)
    assert words == 1 + 2 + 2 + 2
    found = loss(objective(samples=2, weight=0.5), decoder, 2)
    assert found.item() == pytest.approx(0.5 * total / words, rel=1e-5)


def test_what_is_learned_is_what_is_drawn_from_at_the_temperature(draws: list[list[Text]]) -> None:
    decoder = Toy()
    cooled = Toy()
    with torch.no_grad():
        cooled.table[:] = decoder.table / 0.5
    draws[:] = [[(A, END), (B, B)]]
    found = loss(objective(samples=2, temperature=0.5), decoder)
    expected = loss(objective(samples=2), cooled)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert objective(temperature=0.5).sampling == Sampling(longest=LONGEST, temperature=0.5)


def test_advantages_of_a_picture_sum_to_zero_against_the_others(draws: list[list[Text]]) -> None:
    made = objective(samples=3)
    draws[:] = [[(A, END), (B, A), (END,)], [(B, END), (B, B), (A, A)]]
    reward = torch.tensor([[WORTH[text] for text in row] for row in draws])
    baseline = made._baseline(batch(Toy(), 2), [0, 1], reward, torch.ones(2, 3, dtype=torch.bool))
    torch.testing.assert_close((reward - baseline).sum(-1), torch.zeros(2))
    torch.testing.assert_close(reward - baseline, 3 / 2 * (reward - reward.mean(-1, keepdim=True)))


@pytest.mark.parametrize("baseline", ["leave-one-out", "greedy", "beam"])
def test_equal_rewards_teach_nothing(baseline: Any) -> None:
    decoder = Toy()
    loss(objective([Table(dict.fromkeys(EVERYTHING, 0.7))], baseline=baseline, samples=3), decoder).backward()
    assert decoder.table.grad is not None
    assert decoder.table.grad.abs().max() < 1e-15


def test_the_end_is_learned_and_what_is_cut_off_has_none(draws: list[list[Text]]) -> None:
    decoder, table = Toy(), Table(WORTH)
    draws[:] = [[(A, END), (A, B)]]
    loss(objective([table], samples=2), decoder).backward()
    assert table.asked == [([0, 0], [[A, END], [A, B]])]
    assert decoder.table.grad is not None
    assert decoder.table.grad[A, END] > 0  # 2.0 with the end against 3.0 without: it becomes less likely
    assert not decoder.table.grad[B].any(), "nothing is read after the last word"


def test_the_beams_are_held_against_their_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, table = Toy(), Table(WORTH)
    made = objective([table], baseline="beam", samples=3)
    value = loss(made, decoder)
    found = beam_search(decoder, batch(decoder).features, Search(3, LONGEST, best=3))[0]
    texts = [tuple(each.tokens) if len(each.tokens) == LONGEST else (*each.tokens, END) for each in found]
    assert [tuple(text) for text in table.asked[0][1]] == texts
    mean = sum(WORTH[text] for text in texts) / 3
    total = sum((WORTH[text] - mean) * decoder.log_prob(text).item() for text in texts)
    assert value.item() == pytest.approx(-total / sum(map(len, texts)), rel=1e-5)


def test_a_beam_search_that_finds_fewer_captions_is_held_against_those() -> None:
    decoder = Toy()
    with torch.no_grad():
        decoder.table[:] = -torch.inf
        decoder.table[:, [A, END]] = 0.0
    made = objective([Table(WORTH | {(): 9.0})], baseline="beam", samples=4)
    value = loss(made, decoder)
    assert value.isfinite()
    mean = sum(WORTH[text] for text in ((END,), (A, END), (A, A))) / 3
    assert made.readings()["baseline_reward"] == made.readings()["reward"] == pytest.approx(mean)


@pytest.mark.parametrize("dropout", [False, True])
def test_captions_are_written_without_gradient_and_greedy_ones_without_dropout(dropout: bool) -> None:
    decoder = Toy().train()
    loss(objective(baseline="greedy", samples=2, dropout=dropout), decoder)
    assert decoder.modes == [("start", dropout, False), ("start", False, False), ("forward", dropout, True)]
    assert decoder.training


def test_the_greedy_caption_is_the_baseline(draws: list[list[Text]]) -> None:
    decoder = Toy()
    draws[:] = [[(A, END)]]
    (best,) = beam_search(decoder, batch(decoder).features, Search(1, LONGEST))[0]
    text = tuple(best.tokens) if len(best.tokens) == LONGEST else (*best.tokens, END)
    made = objective(baseline="greedy", samples=1)
    found = loss(made, decoder)
    expected = -(WORTH[A, END] - WORTH[text]) * decoder.log_prob((A, END)).item() / 2
    assert found.item() == pytest.approx(expected, rel=1e-5)
    assert made.readings()["baseline_reward"] == WORTH[text]


def test_cider_counts_the_training_split_with_its_ends(draws: list[list[Text]]) -> None:
    references = [[[A, END], [A, B, END]], [[B, A, B, END]]]
    official = CiderD(references)
    draws[:] = [[(A, END), (A, B)], [(B, END), (B, B)]]
    made = objective([CiderDReward(2.0), Table(WORTH, 0.0)], samples=2)
    loss(made, Toy(), 2)
    expected = [official.score(image, text) for image, row in enumerate(draws) for text in row]
    assert made.readings()["reward"] == pytest.approx(2 * sum(expected) / 4)
    assert made.readings()["reward_CIDEr-D"] == pytest.approx(2 * sum(expected) / 4)


def test_the_readings_say_how_random_how_long_and_how_unfinished_the_captions_are(draws: list[list[Text]]) -> None:
    decoder = Toy()
    draws[:] = [[(A, END), (A, B), (END,), (B, B)]]
    made = objective(samples=4)
    loss(made, decoder)
    readings = made.readings()
    assert readings["caption_length"] == pytest.approx((1 + 2 + 0 + 2) / 4)
    assert readings["unfinished"] == pytest.approx(0.5)
    last = [0 if position == 0 else text[position - 1] for text in draws[0] for position in range(len(text))]
    rows = torch.stack([decoder.table[word or 1] for word in last]).log_softmax(-1)
    assert readings["word_entropy"] == pytest.approx(-(rows.exp() * rows).sum(-1).mean().item())


def test_the_sum_over_the_batch_keeps_its_digits_under_autocast(draws: list[list[Text]]) -> None:
    decoder = Toy()
    draws[:] = [[(A, END), (B, A)]]
    exact = loss(objective(samples=2), decoder).item()
    decoder.bfloat16()
    found = loss(objective(samples=2), decoder)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(exact, rel=0.03)


def test_validation_has_no_such_term() -> None:
    decoder = Toy()
    assert objective().eval()(batch(decoder)) == {}
    assert not decoder.modes


def test_a_model_that_gets_no_reward_is_told_so_at_once_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    made = objective([Table(dict.fromkeys(EVERYTHING, 0.01))])
    with caplog.at_level(logging.WARNING):
        loss(made, Toy())
        loss(made, Toy())
    assert [record.getMessage() for record in caplog.records] == [
        "training by reward begins with a model that gets none (0.01): train it with CrossEntropy first, and begin "
        "with that training's best.ckpt (--start_from)"
    ]


def test_too_few_samples_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"^SelfCritical: 1 samples are too few for the baseline 'leave-one-out'$"):
        objective(samples=1)


def test_pictures_of_another_split_are_refused() -> None:
    made = SelfCritical(WORDS, rewards=[Table(WORTH)], longest=LONGEST)
    made.prepare(RECORDS[1:])
    with pytest.raises(DataError, match=r"^picture 1 is not of the training split"):
        loss(made, Toy())
