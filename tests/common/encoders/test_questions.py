from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from common.attention.transformer import sinusoids
from common.encoders import (
    ConvolutionalTextEncoder,
    LearnedEmbedding,
    PositionalTextEncoder,
    RecurrentTextEncoder,
)
from tests.common.encoders.test_text import ENCODERS as OTHERS
from tests.common.encoders.test_text import VOCABULARY

DIM = 4


def recurrent(cell: Literal["lstm", "gru"], **other: bool) -> RecurrentTextEncoder:
    torch.manual_seed(0)
    return RecurrentTextEncoder(VOCABULARY, DIM, embedding_dim=3, cell=cell, **other).double().eval()


def convolutional() -> ConvolutionalTextEncoder:
    torch.manual_seed(0)
    return ConvolutionalTextEncoder(VOCABULARY, (1, 2, 3), embedding_dim=3).double().eval()


def texts(*given: list[int]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, given))
    tokens = torch.tensor([text + [0] * (longest - len(text)) for text in given])
    return tokens, tokens > 0


ENCODERS = {
    "hierarchical": OTHERS["paper"],
    "transformer": OTHERS["transformer"],
    "lstm": recurrent("lstm"),
    "gru": recurrent("gru"),
    "convolutional": convolutional(),
    "positional": PositionalTextEncoder(VOCABULARY, DIM).double().eval(),
}


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_the_summary_of_a_question_does_not_depend_on_padding(name: str, length: int) -> None:
    encoder, text = ENCODERS[name], [4, 5, 6, 7, 8][:length]
    alone = encoder.summary(encoder(*texts(text)))
    padded = encoder.summary(encoder(*texts(text, [9] * 8)))
    assert alone.shape == (1, encoder.dim)
    torch.testing.assert_close(padded[:1], alone)


@pytest.mark.parametrize("name", ENCODERS)
def test_words_beyond_the_question_and_their_ids_do_not_matter_and_features_there_are_zero(name: str) -> None:
    tokens, keep = texts([4, 5], [6, 7, 8])
    other = torch.where(keep, tokens, 9)
    one, two = ENCODERS[name](tokens, keep).levels[-1], ENCODERS[name](other, keep).levels[-1]
    torch.testing.assert_close(one, two)
    assert not one[0, 2:].any()


@pytest.mark.parametrize("name", ENCODERS)
def test_a_text_without_words_has_a_summary_of_zero(name: str) -> None:
    features = ENCODERS[name](torch.zeros(2, 3, dtype=torch.long), torch.zeros(2, 3, dtype=torch.bool))
    assert not ENCODERS[name].summary(features).any()


@pytest.mark.parametrize("name", [name for name in ENCODERS if name != "transformer"])
def test_a_question_of_two_hundred_words_is_read(name: str) -> None:
    features = ENCODERS[name](*texts([4] * 200))
    assert ENCODERS[name].summary(features).isfinite().all()


@pytest.mark.parametrize("name", ["lstm", "gru", "hierarchical"])
def test_the_summary_is_the_last_levels_state_at_the_last_word(name: str) -> None:
    features = ENCODERS[name](*texts([4, 5, 6], [7]))
    summary = ENCODERS[name].summary(features)
    torch.testing.assert_close(summary[0], features.levels[-1][0, 2])
    torch.testing.assert_close(summary[1], features.levels[-1][1, 0])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("squash", [True, False])
def test_states_are_those_of_the_recurrence_over_the_embedded_words(cell: Literal["lstm", "gru"], squash: bool) -> None:
    encoder = recurrent(cell, squash=squash)
    assert isinstance(encoder.embedding, LearnedEmbedding)
    words = encoder.embedding.weight[[4, 5, 6]]
    expected = encoder.recurrence((torch.tanh(words) if squash else words).unsqueeze(0))[0]
    torch.testing.assert_close(encoder(*texts([4, 5, 6])).levels[-1], expected)


@pytest.mark.parametrize("text", [[4], [4, 5], [4, 5, 6], [7, 4, 10, 5, 6]])
def test_the_convolutional_summary_is_the_greatest_of_the_windows_within_the_question(text: list[int]) -> None:
    encoder = convolutional()
    p = {name: tensor.detach().numpy() for name, tensor in encoder.named_parameters()}
    words = p["embedding.weight"][text]
    expected = []
    for index, size in enumerate((1, 2, 3)):
        weight, bias = p[f"convolutions.{index}.weight"], p[f"convolutions.{index}.bias"]
        windows = []
        for start in range(max(1, len(text) - size + 1)):
            window = bias.copy()
            for offset, word in enumerate(words[start : start + size]):
                window += weight[:, :, offset] @ word
            windows.append(np.tanh(window))
        expected.append(np.max(windows, axis=0))
    found = encoder.summary(encoder(*texts(text, [9] * 7)))[0].detach()
    np.testing.assert_allclose(found, np.concatenate(expected), rtol=0, atol=1e-10)


def test_positional_words_are_the_scaled_embedding_plus_sinusoids() -> None:
    encoder = PositionalTextEncoder(VOCABULARY, DIM).double().eval()
    assert isinstance(encoder.embedding, LearnedEmbedding)
    features = encoder(*texts([4, 5, 4]))
    expected = encoder.embedding.weight[[4, 5, 4]] * 2 + sinusoids(torch.arange(3), DIM)
    torch.testing.assert_close(features.levels[-1][0], expected)
    torch.testing.assert_close(encoder.summary(features)[0], expected.mean(0))


def test_widths_are_those_of_the_states_whatever_the_words_have() -> None:
    assert (recurrent("gru").dim, convolutional().dim) == (4, 6)
    assert RecurrentTextEncoder(VOCABULARY, 6, embedding_dim=None).embedding.dim == 6
    for encoder in (RecurrentTextEncoder, ConvolutionalTextEncoder):
        features = encoder(VOCABULARY, embedding=LearnedEmbedding(VOCABULARY, 5))(*texts([4, 5]))
        assert features.levels[-1].shape[:2] == (1, 2)
