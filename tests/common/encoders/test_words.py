from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from common.attention import Sigmoid
from common.encoders import DynamicMetaEmbedding, HierarchicalTextEncoder, LearnedEmbedding, TextEncoder
from common.encoders.words import BothWaysReader
from common.errors import ConfigError
from common.training.parts import Part, build

Array = NDArray[np.float64]
VOCABULARY, DIM = 11, 4


def _tokens(*texts: list[int]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, texts))
    tokens = torch.tensor([text + [0] * (longest - len(text)) for text in texts])
    return tokens, tokens > 0


def _build(
    widths: list[int],
    contextual: bool = False,
    gates: bool = False,
    variant: Literal["paper", "code"] = "paper",
) -> DynamicMetaEmbedding:
    torch.manual_seed(0)
    module = DynamicMetaEmbedding(VOCABULARY, DIM, widths, contextual, Sigmoid() if gates else None, variant).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    return module


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _read(p: dict[str, Array], name: str, items: list[Array]) -> list[Array]:
    """The states of an LSTM, word by word."""
    hidden = cell = np.zeros(2)
    states = []
    for x in items:
        gates = p[f"{name}.weight_ih_l0"] @ x + p[f"{name}.bias_ih_l0"]
        i, f, g, o = np.split(gates + p[f"{name}.weight_hh_l0"] @ hidden + p[f"{name}.bias_hh_l0"], 4)
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        hidden = _sigmoid(o) * np.tanh(cell)
        states.append(hidden)
    return states


def _reference(module: DynamicMetaEmbedding, text: list[int], gates: bool) -> tuple[Array, Array]:
    """Vectors [T D] and shares [T M] of one text."""
    p = {name: tensor.detach().numpy() for name, tensor in module.named_parameters()}
    tables = range(len(module.tables))
    sources = [
        [p[f"projections.{m}.weight"] @ p[f"tables.{m}.weight"][t] + p[f"projections.{m}.bias"] for t in text]
        for m in tables
    ]
    evidence = sources
    if module.reader is not None:
        evidence = [
            [
                np.concatenate(both)
                for both in zip(
                    _read(p, "reader.forwards", words), _read(p, "reader.backwards", words[::-1])[::-1], strict=True
                )
            ]
            for words in sources
        ]
    mixed, shares = [], []
    for t in range(len(text)):
        logits = np.array(
            [(p["mixture.score.weight"] @ evidence[m][t] + p["mixture.score.bias"]).item() for m in tables]
        )
        alpha = _sigmoid(logits) if gates else np.exp(logits) / np.exp(logits).sum()
        mixed.append(sum(alpha[m] * sources[m][t] for m in tables))
        shares.append(alpha)
    return np.array(mixed), np.array(shares)


@pytest.mark.parametrize("contextual", [False, True])
@pytest.mark.parametrize("gates", [False, True])
@pytest.mark.parametrize("widths", [[3], [2, 5], [6, 1, 3]])
def test_words_are_mixed_as_in_the_reference(contextual: bool, gates: bool, widths: list[int]) -> None:
    module, texts = _build(widths, contextual, gates), [[4, 5, 6, 4], [7, 8], [9]]
    mixed, shares = module.mix(*_tokens(*texts))
    for b, text in enumerate(texts):
        for got, expected in zip((mixed[b], shares[b]), _reference(module, text, gates), strict=True):
            np.testing.assert_allclose(got[: len(text)].detach().numpy(), expected, rtol=0, atol=1e-10)


def test_the_released_code_has_a_relu_after_the_sum() -> None:
    batch = _tokens([4, 5, 6])
    paper, code = (_build([2, 3], variant=variant)(*batch) for variant in ("paper", "code"))
    assert (paper < 0).any()
    torch.testing.assert_close(code, paper.clamp(min=0))


def test_without_evidence_a_word_is_the_mean_of_its_projections() -> None:
    module, batch = _build([2, 3]), _tokens([4, 5, 6])
    nn.init.zeros_(module.mixture.score.weight)
    sources = [project(table(*batch)) for project, table in zip(module.projections, module.tables, strict=True)]
    torch.testing.assert_close(module(*batch), (sources[0] + sources[1]) / 2)


@pytest.mark.parametrize("contextual", [False, True])
def test_only_in_context_does_a_words_mixture_depend_on_its_neighbours(contextual: bool) -> None:
    shares = _build([2, 3], contextual).mix(*_tokens([4, 5, 4]))[1]
    assert torch.allclose(shares[0, 0], shares[0, 2]) == (not contextual)


def test_the_reader_reads_as_pytorchs_own_on_packed_texts() -> None:
    torch.manual_seed(0)
    ours, theirs = BothWaysReader(3, 2).double(), nn.LSTM(3, 2, batch_first=True, bidirectional=True).double()
    for half, suffix in ((ours.forwards, ""), (ours.backwards, "_reverse")):
        half.load_state_dict({name: theirs.state_dict()[name + suffix] for name in half.state_dict()})
    items, keep = torch.randn(3, 4, 3, dtype=torch.float64), torch.arange(4) < torch.tensor([[4], [1], [3]])
    packed = nn.utils.rnn.pack_padded_sequence(items, torch.tensor([4, 1, 3]), batch_first=True, enforce_sorted=False)
    expected, _ = nn.utils.rnn.pad_packed_sequence(theirs(packed)[0], batch_first=True)
    torch.testing.assert_close(ours(items, keep) * keep.unsqueeze(-1), expected)
    assert ours(items, torch.zeros_like(keep)).isfinite().all()


def test_one_table_is_pytorchs_own_embedding_in_values_names_and_gradients() -> None:
    torch.manual_seed(0)
    theirs = nn.Embedding(VOCABULARY, DIM, padding_idx=0)
    torch.manual_seed(0)
    ours = LearnedEmbedding(VOCABULARY, DIM)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert torch.equal(ours.weight, theirs.weight)
    tokens, keep = _tokens([4, 5, 6], [7])
    for output in (ours(tokens, keep), theirs(tokens)):
        output.square().sum().backward()
    assert torch.equal(ours.weight.grad, theirs.weight.grad)  # type: ignore[arg-type]


def test_no_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="name one table at least"):
        DynamicMetaEmbedding(VOCABULARY, DIM, [])


# As a part of a text encoder


def _recipe(encoder: str, dim: int = DIM) -> Part:
    embedding = {
        "class_path": "common.encoders.DynamicMetaEmbedding",
        "init_args": {"dim": dim, "widths": [2, 3], "contextual": True},
    }
    arguments = {"dim": DIM, "embedding": embedding} | ({"heads": 2} if encoder == "TransformerTextEncoder" else {})
    return {"class_path": f"common.encoders.{encoder}", "init_args": arguments}


@pytest.mark.parametrize("name", ["HierarchicalTextEncoder", "TransformerTextEncoder", "DirectionalTextEncoder"])
def test_every_text_encoder_takes_it_from_a_config(name: str) -> None:
    encoder = build(_recipe(name), TextEncoder, vocabulary_size=VOCABULARY).eval()
    assert isinstance(encoder.embedding, DynamicMetaEmbedding)
    alone, padded = encoder(*_tokens([4, 5])), encoder(*_tokens([4, 5], [6, 7, 8, 9]))
    for short, long in zip(alone.levels, padded.levels, strict=True):
        torch.testing.assert_close(long[:1, :2], short)
        assert not long[0, 2:].any()


def test_an_embedding_of_another_width_is_refused() -> None:
    with pytest.raises(ConfigError, match="its vectors are 5 wide, the encoder's 4: give both the same dim"):
        build(_recipe("HierarchicalTextEncoder", dim=5), TextEncoder, vocabulary_size=VOCABULARY)


def test_without_one_the_parameters_keep_their_names() -> None:
    assert "embedding.weight" in HierarchicalTextEncoder(VOCABULARY, DIM).state_dict()
