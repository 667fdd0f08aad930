"""What holds for every caption decoder, whatever it is made of (see `cases.py`)."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from captioning.decoders.recurrent import RecurrentDecoder
from common.attention import VisualFeatures
from common.search import Search, beam_search
from tests.captioning.decoders.cases import DECODERS, REGIONS, WORDS, build, captions, pictures

every_decoder = pytest.mark.parametrize("name", DECODERS)


@every_decoder
def test_teacher_forcing_is_stepping_word_by_word(name: str) -> None:
    decoder, features = build(name), pictures()
    tokens, keep = captions()
    output = decoder(features, tokens, keep)
    assert output.log_probs.shape == (keep.sum(), WORDS)
    state, log_probs, weights, parts = decoder.start(features, 3), [], [], []
    for words in tokens.unbind(-1):
        step = decoder.step(words, state)
        state = step.state
        log_probs.append(step.log_probs)
        weights.append(step.attention.weights)
        parts.append(step.attention.parts)
    torch.testing.assert_close(torch.stack(log_probs, 2)[keep], output.log_probs, rtol=0, atol=1e-12)
    torch.testing.assert_close(torch.stack(weights, 2), output.weights, rtol=0, atol=1e-12)
    assert (output.parts is None) == (decoder.part_axis is None)
    if output.parts is not None:
        torch.testing.assert_close(torch.stack(parts, 2), output.parts, rtol=0, atol=1e-12)


@every_decoder
def test_a_step_shows_its_parts_where_the_decoder_names_them(name: str) -> None:
    decoder, features = build(name), pictures()
    attention = decoder.step(captions()[0][..., 0], decoder.start(features, 3)).attention
    assert decoder.kind
    assert (attention.parts is None) == (decoder.part_axis is None)
    if attention.parts is not None:
        torch.testing.assert_close(attention.parts.mean(2), attention.weights)


@every_decoder
def test_what_stands_in_padding_regions_changes_nothing(name: str) -> None:
    decoder, features = build(name), pictures()
    tokens, keep = captions()
    other = features.values.clone()
    other[0, -2:] = 1e3
    longer = torch.cat([other, torch.full_like(other[:, :2], -50)], 1)
    longer_keep = torch.cat([features.keep, torch.zeros(2, 2, dtype=torch.bool)], 1)
    output = decoder(features, tokens, keep)
    padded = decoder(VisualFeatures(longer, longer_keep, features.layout), tokens, keep)
    torch.testing.assert_close(padded.log_probs, output.log_probs)
    torch.testing.assert_close(padded.weights[..., :REGIONS], output.weights)
    assert padded.weights[..., REGIONS:].count_nonzero() == output.weights[0, ..., -2:].count_nonzero() == 0


@every_decoder
def test_a_picture_without_a_valid_region_has_a_caption_and_gradients_that_are_numbers(name: str) -> None:
    decoder, features = build(name), pictures()
    features.keep[0] = False
    output = decoder(features, *captions())
    assert output.log_probs.isfinite().all()
    assert not output.weights[0].any()
    output.log_probs.sum().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in decoder.parameters())


@every_decoder
def test_the_captions_of_a_picture_together_are_those_of_the_picture_one_by_one(name: str) -> None:
    decoder, features = build(name), pictures()
    tokens, keep = captions()
    together = decoder(features, tokens, keep)
    for row, column in product(range(2), range(3)):
        here = slice(row, row + 1), slice(column, column + 1)
        alone = decoder(features.select(torch.tensor([row])), tokens[here], keep[here])
        place = torch.zeros_like(keep)
        place[here] = keep[here]
        torch.testing.assert_close(together.log_probs[place[keep]], alone.log_probs)
        torch.testing.assert_close(together.weights[here], alone.weights)


@every_decoder
def test_no_word_depends_on_one_after_it(name: str) -> None:
    decoder, features = build(name), pictures()
    tokens, keep = captions()
    others = torch.cat([tokens[..., :2], torch.randint(4, WORDS, tokens[..., 2:].shape)], -1)
    first, second = decoder(features, tokens, keep), decoder(features, others, keep)
    early = torch.zeros_like(keep)
    early[..., :2] = True
    torch.testing.assert_close(first.log_probs[early[keep]], second.log_probs[early[keep]], rtol=0, atol=1e-12)
    torch.testing.assert_close(first.weights[:, :, :2], second.weights[:, :, :2], rtol=0, atol=1e-12)


@every_decoder
def test_words_after_the_end_of_a_caption_have_no_influence(name: str) -> None:
    decoder, features = build(name), pictures()
    tokens, keep = captions()
    first = decoder(features, tokens, keep)
    second = decoder(features, torch.where(keep, tokens, 0), keep)
    assert torch.equal(first.log_probs, second.log_probs)


@every_decoder
def test_each_sequence_goes_on_from_the_one_that_reordering_gives_it(name: str) -> None:
    decoder, features = build(name), pictures()
    state = decoder.step(torch.tensor([[4, 5, 6], [7, 8, 4]]), decoder.start(features, 3)).state
    parents, words = torch.tensor([[2, 0, 0], [1, 1, 2]]), torch.tensor([[4, 5, 5], [6, 7, 8]])
    moved = decoder.step(words, state.reorder(parents))
    for row, column in product(range(2), range(3)):
        same = decoder.step(words[:, column : column + 1].expand(-1, 3), state)
        for found, expected in (
            (moved.log_probs, same.log_probs),
            (moved.attention.weights, same.attention.weights),
        ):
            torch.testing.assert_close(found[row, column], expected[row, parents[row, column]])


@every_decoder
@pytest.mark.parametrize("beam", [1, 3])
def test_beams_of_pictures_together_are_those_of_each_picture_alone(name: str, beam: int) -> None:
    decoder, features = build(name), pictures(3)
    together = beam_search(decoder, features, Search(beam, longest=4))
    for row, expected in enumerate(together):
        alone = beam_search(decoder, features.select(torch.tensor([row])), Search(beam, longest=4))[0]
        for found, wanted in zip(alone, expected, strict=True):
            assert found.tokens == wanted.tokens
            assert found.score == pytest.approx(wanted.score)
            torch.testing.assert_close(found.weights, wanted.weights)
            torch.testing.assert_close(found.parts, wanted.parts)


@every_decoder
def test_dropout_is_off_in_evaluation_and_on_in_training(name: str) -> None:
    decoder, features = build(name, dropout=0.5), pictures()
    given = captions()
    assert torch.equal(decoder(features, *given).log_probs, decoder(features, *given).log_probs)
    decoder.train()
    assert not torch.equal(decoder(features, *given).log_probs, decoder(features, *given).log_probs)


@every_decoder
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_gives_weights_and_log_probabilities_in_float32(name: str, dtype: torch.dtype) -> None:
    decoder, features = build(name).to(dtype), pictures()
    low = VisualFeatures(features.values.to(dtype), features.keep, features.layout)
    output = decoder(low, *captions())
    assert output.weights.dtype == output.log_probs.dtype == torch.float32
    assert output.log_probs.isfinite().all()


@every_decoder
def test_under_autocast_padding_is_not_looked_at_and_the_gradients_are_numbers(name: str) -> None:
    decoder, features = build(name).float().train(), pictures()
    single = VisualFeatures(features.values.float(), features.keep, features.layout)
    with torch.autocast("cpu", torch.bfloat16):
        output = decoder(single, *captions())
    assert output.weights.dtype == output.log_probs.dtype == torch.float32
    assert not output.weights[0, ..., -2:].any(), "padding is never looked at"
    output.log_probs.mean().backward()
    assert all(each.grad is None or each.grad.isfinite().all() for each in decoder.parameters())


@pytest.mark.parametrize("name", [name for name in DECODERS if "hard" not in name])  # which may find the same again
def test_no_map_is_given_the_same_twice_over_the_words_of_a_search(name: str) -> None:
    decoder, features = build(name), pictures()
    seen: list[tuple[str, Tensor]] = []
    for part, module in decoder.named_modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(lambda _, given, __, part=part: seen.append((part, given[0].clone())))
    with torch.no_grad():
        state = decoder.start(features, 2)
        for words in ([[5, 6], [7, 8]], [[6, 7], [8, 6]], [[8, 8], [5, 7]]):
            state = decoder.step(torch.tensor(words), state).state
    for number, (part, given) in enumerate(seen):
        for other, before in seen[:number]:
            assert part != other or given.shape != before.shape or not torch.equal(given, before), part


@pytest.mark.parametrize("name", [name for name in DECODERS if isinstance(build(name), RecurrentDecoder)])
def test_a_word_that_several_sequences_wrote_is_embedded_once(name: str) -> None:
    decoder, features = build(name), pictures()
    words = torch.tensor([[5, 6, 5], [6, 5, 5]])
    expected = decoder.step(words, decoder.start(features, 3))
    rows: list[int] = []
    decoder.embedding.register_forward_hook(lambda *given: rows.append(given[1][0].numel()))  # type: ignore[union-attr]
    with torch.no_grad():
        found = decoder.step(words, decoder.start(features, 3))
    assert rows == [2]
    torch.testing.assert_close(found.log_probs, expected.log_probs, rtol=0, atol=1e-12)
