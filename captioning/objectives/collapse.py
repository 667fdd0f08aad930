"""Training by reward fails silently: what its failures look like, told as soon as they show."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

NOTHING = 0.05  # a reward below this share of what a sound captioner gets is none
CERTAIN = 0.01  # nats per word; the samples of a picture are then all the same
ENDLESS = 0.9  # share of captions without an end
FALLEN = 0.5  # share of the best reward that is left
LONG = 1.5  # words over those of the references


class Signs(NamedTuple):
    """What one batch of a training by reward shows, as means: `entropy` of the next word in nats, `words` without the
    end, `unfinished` as a share of the captions."""

    reward: float
    baseline: float
    entropy: float
    words: float
    unfinished: float


class CollapseWatch:
    """Looks at the mean signs of the last `window` batches; what is wrong is told once, and again if it comes back."""

    def __init__(self, window: int) -> None:
        self._last: deque[Signs] = deque(maxlen=window)
        self._told: set[str] = set()
        self._begun = False
        self._best = 0.0
        self.expect(reward=0.0, words=float("inf"))

    def expect(self, reward: float, words: float) -> None:
        """Take note of what a sound captioner gets, and of how many words the references have."""
        self.sound_reward, self.reference_words = reward, words

    def add(self, signs: Signs) -> list[str]:
        """What is to be told after one more batch, a line each."""
        lines = []
        if not self._begun and max(signs.reward, signs.baseline) < NOTHING * self.sound_reward:
            lines.append(
                f"training by reward begins with a model that gets none ({signs.reward:.2g}): train it with "
                "CrossEntropy first, and begin with that training's best.ckpt (--start_from)"
            )
        self._begun = True
        self._last.append(signs)
        if len(self._last) < (self._last.maxlen or 1):
            return lines
        mean = Signs(*(sum(values) / len(values) for values in zip(*self._last, strict=True)))
        self._best = max(self._best, mean.reward)
        found = self._found(mean)
        lines += [
            f"training by reward has collapsed, over the last {len(self._last)} batches: {line}"
            for sign, line in found.items()
            if sign not in self._told
        ]
        self._told = set(found)
        return lines

    def _found(self, mean: Signs) -> dict[str, str]:
        """What is wrong, by what shows it, with what to do."""
        found = {}
        if mean.reward < NOTHING * self.sound_reward:
            found["reward"] = (
                f"the reward is {mean.reward:.2g}; lower the learning rate, add CrossEntropy to the objectives, or "
                "begin with a model that writes better (--start_from)"
            )
        elif mean.reward < FALLEN * self._best:
            found["reward"] = (
                f"the reward has fallen from {self._best:.3g} to {mean.reward:.3g}; go back to best.ckpt with a lower "
                "learning rate, or add CrossEntropy to the objectives"
            )
        if mean.entropy < CERTAIN:
            found["entropy"] = (
                f"the next word is certain ({mean.entropy:.2g} nats): all samples are alike, and nothing more is "
                "learned; go back to best.ckpt with a lower learning rate, or with CrossEntropy and label_smoothing"
            )
        if mean.unfinished > ENDLESS:
            found["length"] = (
                f"{mean.unfinished:.0%} of the captions have no end; raise longest if the references are as long, else "
                "lower the learning rate or add CrossEntropy to the objectives"
            )
        elif mean.words > LONG * self.reference_words:
            found["length"] = (
                f"captions have {mean.words:.0f} words, references {self.reference_words:.0f}; add LengthReward or "
                "CiderDReward to the rewards, or lower the learning rate"
            )
        return found
