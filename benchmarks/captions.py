"""Captions that look to a metric like people's: few words are frequent, those of one picture have words in common."""

from __future__ import annotations

import numpy as np

SHARED = 0.6  # of the words are from the few that a picture's captions choose from
ABOUT = 15  # so many


def draw_captions(images: int, several: int, words: int, vocabulary: int, seed: int = 0) -> list[list[list[str]]]:
    """`several` captions of about `words` words for each image; words come as often as in Zipf's law."""
    generator = np.random.default_rng(seed)
    names = np.array([f"word{number}" for number in range(vocabulary)])
    odds = 1 / np.arange(1, vocabulary + 1)
    odds /= odds.sum()
    about = generator.choice(vocabulary, (images, ABOUT), p=odds)
    longest = words + 3
    drawn = generator.choice(vocabulary, (images, several, longest), p=odds)
    common = np.take_along_axis(about[:, None], generator.integers(ABOUT, size=(images, 1, several * longest)), 2)
    drawn = np.where(generator.random(drawn.shape) < SHARED, common.reshape(drawn.shape), drawn)
    lengths = generator.integers(words - 3, longest + 1, size=(images, several)).clip(min=1)
    return [
        [names[caption[:length]].tolist() for caption, length in zip(captions, sizes, strict=True)]
        for captions, sizes in zip(drawn, lengths, strict=True)
    ]
