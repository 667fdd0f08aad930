"""CLIPScore's arithmetic by a model that can be calculated by hand, and what is told where there is no model."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub.constants
import pytest
from PIL import Image
from torch import Tensor, nn

from captioning.metrics import clip
from captioning.metrics.clip import Clip, ClipScores
from common.errors import CheckpointError, ConfigError, DataError
from tests.captioning.stand_in_clip import StandIn, prepare, stand_in, tokenize


@pytest.fixture
def scores(tmp_path: Path) -> ClipScores:
    """Of two pictures, a red one and a blue one."""
    paths: dict[int | str, Path] = {}
    for number, colour in ((1, "red"), (2, "blue")):
        paths[number] = tmp_path / f"{colour}.png"
        Image.new("RGB", (4, 3), colour).save(paths[number])
    return ClipScores(stand_in(), paths)


def measured(scores: ClipScores, captions: dict[int | str, str], references: dict[int | str, list[str]]) -> Any:
    return {name: measure.each.tolist() for name, measure in scores.measure(captions, references).items()}


def test_a_score_is_two_and_a_half_times_the_cosine_with_the_picture_and_never_below_0(scores: ClipScores) -> None:
    captions: dict[int | str, str] = {1: "red and blue", 2: "no-blue"}
    found = measured(scores, captions, {2: ["blue"], 1: ["red"]})
    assert found["CLIPScore"] == pytest.approx([0, 250 / math.sqrt(2)])  # in the order of the references


def test_with_references_it_is_the_harmonic_mean_with_the_cosine_of_the_likest(scores: ClipScores) -> None:
    captions: dict[int | str, str] = {1: "red and blue", 2: "lime"}
    found = measured(scores, captions, {1: ["lime", "red", "no-red"], 2: ["red", "no-lime"]})
    seen, said = 2.5 / math.sqrt(2), 1 / math.sqrt(2)
    assert found["RefCLIPScore"] == pytest.approx([100 * 2 / (1 / seen + 1 / said), 0])


def test_the_score_of_a_set_is_the_mean(scores: ClipScores) -> None:
    measures = scores.measure({1: "red", 2: "lime"}, {1: ["red"], 2: ["lime"]})
    assert measures["CLIPScore"].value == pytest.approx(125)
    assert measures["RefCLIPScore"].value == pytest.approx(100 * (2 * 2.5 / 3.5 + 0) / 2)


def test_nothing_is_encoded_twice(scores: ClipScores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "BATCH", 2)
    references: dict[int | str, list[str]] = {1: ["red", "lime"], 2: ["red", "blue"]}
    for caption in ("red", "red and blue"):
        scores.measure({1: caption, 2: caption}, references)
    assert scores.clip.model.encoded == 2 + 4  # the pictures, and the different texts


def test_an_image_without_a_picture_is_told(scores: ClipScores) -> None:
    with pytest.raises(DataError, match="image 3 has no picture, which CLIPScore looks at"):
        scores.measure({3: "red"}, {3: ["red"]})


# open_clip


def test_without_open_clip_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"open_clip is not installed \(extra clip\); leave out --clip"):
        Clip.load()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What a package in the place of open_clip was asked for."""
    given: list[Any] = []

    def create(name: str, source: str | None, device: object) -> tuple[nn.Module, Callable[..., Tensor]]:
        given.append((name, source, huggingface_hub.constants.HF_HUB_OFFLINE))
        if source == "openai":
            raise RuntimeError("Failed to download weights for tag 'openai':\nno network")
        return StandIn(), prepare

    package = SimpleNamespace(
        create_model_from_pretrained=create,
        get_tokenizer=lambda name: tokenize,
        list_models=lambda: ["ViT-B-32", "ViT-B-32-quickgelu"],
        list_pretrained_tags_by_model=lambda name: ["laion2b", "openai"],
        __version__="9.9",
    )
    monkeypatch.setitem(sys.modules, "open_clip", package)  # type: ignore[arg-type]
    monkeypatch.setattr(clip, "find_spec", lambda _: True)
    return given


@pytest.fixture
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("common.encoders.weights._hub_answers", lambda: False)


@pytest.mark.usefixtures("_no_network")
def test_weights_of_the_hub_come_from_its_cache_where_the_network_is_away(asked: list[Any]) -> None:
    assert Clip.load("ViT-B-32:laion2b").name == "ViT-B-32:laion2b, by open_clip 9.9"
    assert asked == [("ViT-B-32", "laion2b", True)]
    assert not huggingface_hub.constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("_no_network")
def test_weights_that_cannot_be_had_are_told_in_one_line(asked: list[Any]) -> None:
    with pytest.raises(CheckpointError) as fault:
        Clip.load()
    reason = "Failed to download weights for tag 'openai': no network"
    way_out = "connect, or give a local file as --clip MODEL:FILE"
    assert str(fault.value) == f"no weights ViT-B-32-quickgelu:openai for CLIPScore: {reason}; {way_out}"


@pytest.mark.usefixtures("_no_network")
def test_a_file_or_a_folder_needs_no_hub(asked: list[Any], tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    file.touch()
    Clip.load(f"ViT-B-32:{file}")
    Clip.load(str(tmp_path))
    assert asked == [("ViT-B-32", str(file), False), (f"local-dir:{tmp_path}", None, False)]


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("ViT-B-23:openai", r"no model 'ViT-B-23'; did you mean 'ViT-B-32'\?; give MODEL:TAG, MODEL:FILE or a folder"),
        ("ViT-B-32:absent.pt", "no file 'absent.pt', nor has open_clip such weights of ViT-B-32: laion2b, openai"),
        ("ViT-B-32", "no file '', nor has open_clip such weights of ViT-B-32: laion2b, openai"),
    ],
)
def test_what_open_clip_does_not_know_is_told_with_what_it_does(weights: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Clip.load(weights)
