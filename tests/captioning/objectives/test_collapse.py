from __future__ import annotations

import pytest

from captioning.objectives.collapse import CollapseWatch, Signs

SOUND = Signs(reward=0.9, baseline=0.9, entropy=0.5, words=9.0, unfinished=0.1)


def watch(window: int = 3) -> CollapseWatch:
    made = CollapseWatch(window)
    made.expect(reward=1.0, words=10.0)
    return made


def told(made: CollapseWatch, *batches: Signs) -> list[str]:
    return [line for signs in batches for line in made.add(signs)]


def test_sound_training_is_not_talked_of() -> None:
    assert told(watch(), *[SOUND] * 10) == []


@pytest.mark.parametrize(
    ("signs", "what", "remedy"),
    [
        (SOUND._replace(reward=0.01), "the reward is 0.01", "lower the learning rate, add CrossEntropy"),
        (SOUND._replace(reward=0.3), "the reward has fallen from 0.9 to 0.3", "go back to best.ckpt"),
        (SOUND._replace(entropy=0.001), "the next word is certain (0.001 nats)", "CrossEntropy and label_smoothing"),
        (SOUND._replace(unfinished=0.95), "95% of the captions have no end", "raise longest"),
        (SOUND._replace(words=19.0), "captions have 19 words, references 10", "add LengthReward or CiderDReward"),
    ],
)
def test_each_collapse_is_told_in_one_line_with_what_to_do(signs: Signs, what: str, remedy: str) -> None:
    made = watch(1)
    assert made.add(SOUND) == []
    (line,) = made.add(signs)
    assert line.startswith(f"training by reward has collapsed, over the last 1 batches: {what}")
    assert remedy in line
    assert "\n" not in line


def test_a_collapse_is_told_once_however_far_it_goes() -> None:
    falling = [SOUND._replace(reward=reward) for reward in (0.8, 0.5, 0.2, 0.1, 0.0, 0.0, 0.0)]
    (line,) = told(watch(), *[SOUND] * 3, *falling)
    assert "over the last 3 batches: the reward has fallen from 0.9 to" in line


def test_one_bad_batch_is_no_collapse() -> None:
    assert told(watch(), *[SOUND] * 3, SOUND._replace(reward=0.0), *[SOUND] * 3) == []


def test_a_collapse_that_comes_back_is_told_again() -> None:
    certain = SOUND._replace(entropy=0.0)
    assert len(told(watch(), *[SOUND] * 3, *[certain] * 3, *[SOUND] * 3, *[certain] * 3)) == 2


def test_a_model_that_cannot_write_yet_is_told_of_at_the_first_batch_only() -> None:
    made = watch()
    (line,) = made.add(SOUND._replace(reward=0.02, baseline=0.0))
    assert "begins with a model that gets none (0.02): train it with CrossEntropy first" in line
    assert made.add(SOUND._replace(reward=0.02, baseline=0.0)) == []
    assert told(watch(), SOUND._replace(reward=0.02, baseline=0.4)) == [], "the greedy caption is sound"
