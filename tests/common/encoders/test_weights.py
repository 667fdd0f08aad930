from __future__ import annotations

import os
import pickle
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest
import timm
import torch
from safetensors.torch import save_file

from common.encoders import ImageEncoder, weights
from common.errors import CheckpointError, ConfigError


def _same(encoder: ImageEncoder, model: torch.nn.Module) -> bool:
    given = model.state_dict()
    return all(torch.equal(tensor, given[name]) for name, tensor in encoder.backbone.state_dict().items())


# Local files


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("classes", [0, 1000])
def test_weights_come_back_from_a_file(suffix: str, classes: int, tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=classes)
    file = tmp_path / f"weights.{suffix}"
    save_file(model.state_dict(), file) if suffix == "safetensors" else torch.save(model.state_dict(), file)
    assert not _same(ImageEncoder("test_resnet"), model)
    assert _same(ImageEncoder("test_resnet", weights=str(file)), model)


def test_an_encoders_own_backbone_can_be_saved_and_given_back(tmp_path: Path) -> None:
    encoder = ImageEncoder("test_vit", image_size=(64, 64))
    save_file(encoder.backbone.state_dict(), tmp_path / "mine.safetensors")
    assert _same(
        ImageEncoder("test_vit", image_size=(64, 64), weights=str(tmp_path / "mine.safetensors")), encoder.backbone
    )


@pytest.mark.parametrize("kind", ["empty", "cut", "text", "other model"])
@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_that_cannot_be_used_is_named_in_one_line(kind: str, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"weights.{suffix}"
    model = timm.create_model("test_convnext" if kind == "other model" else "test_resnet")
    save_file(model.state_dict(), file) if suffix == "safetensors" else torch.save(model.state_dict(), file)
    if kind != "other model":
        content = file.read_bytes()
        file.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"<html>Not found</html>"}[kind])
    with pytest.raises(CheckpointError) as error:
        ImageEncoder("test_resnet", weights=str(file))
    assert str(error.value).startswith(f"weights {file} do not fit test_resnet: ")
    assert ("no .safetensors or .pth file of tensors alone" in str(error.value)) == (kind != "other model")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["missing.pth", "."])
def test_a_file_that_is_not_there_is_said_with_the_ways_out(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no weights file .*; give the path .* 'hub', or null"):
        ImageEncoder("test_resnet", weights=str(tmp_path / name))


def test_weights_that_fill_only_a_part_of_the_model_are_refused(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    del state["layer2.0.conv1.weight"], state["layer3.0.bn1.bias"]
    save_file(state, tmp_path / "part.safetensors")
    with pytest.raises(
        CheckpointError, match=r"do not fit test_resnet: the file lacks 2 of its parameters, layer2\.0\.conv1\.weight"
    ):
        ImageEncoder("test_resnet", weights=str(tmp_path / "part.safetensors"))


class _Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.victim),)


def test_a_file_cannot_run_code(tmp_path: Path) -> None:
    file, victim = tmp_path / "weights.pth", tmp_path / "executed"
    file.write_bytes(pickle.dumps({"state_dict": _Malicious(victim)}))
    torch.save({"state_dict": _Malicious(victim)}, tmp_path / "zipped.pth")
    for path in (file, tmp_path / "zipped.pth"):
        with pytest.raises(CheckpointError):
            ImageEncoder("test_resnet", weights=str(path))
    assert not victim.exists()


# The hub


@pytest.fixture
def _hub_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)


def _assert_a_quick_clear_error() -> None:
    start = time.monotonic()
    with pytest.raises(CheckpointError, match="the hub cannot be reached for the weights of test_resnet") as error:
        ImageEncoder("test_resnet", weights="hub")
    assert time.monotonic() - start < 5
    for way_out in ("connect", "local file", "null"):
        assert way_out in str(error.value)
    assert "\n" not in str(error.value)


def test_offline_mode_gives_a_clear_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    _assert_a_quick_clear_error()
    assert huggingface_hub.constants.HF_HUB_OFFLINE


@pytest.mark.usefixtures("_hub_allowed")
def test_a_hub_that_refuses_gives_a_clear_error_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{unused.getsockname()[1]}")
        _assert_a_quick_clear_error()
    assert not huggingface_hub.constants.HF_HUB_OFFLINE  # as it was


@pytest.fixture
def _silent_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


@pytest.mark.usefixtures("_hub_allowed", "_silent_hub")
def test_a_hub_that_never_answers_does_not_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "HUB_TIMEOUT", 0.2)
    _assert_a_quick_clear_error()


def test_a_model_without_weights_on_the_hub_is_told_apart() -> None:
    with pytest.raises(CheckpointError, match="no pretrained weights for lcnet_035: No pretrained weights exist"):
        ImageEncoder("lcnet_035", weights="hub")


# Names and arguments


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test_resnett", "timm has no model 'test_resnett'; did you mean 'test_resnet'?"),
        ("test_resnet.r160_in1", "timm has no weights 'test_resnet.r160_in1'; did you mean 'test_resnet.r160_in1k'?"),
        ("test_resnet.", "timm has no weights 'test_resnet.'"),
        ("", "timm has no model ''"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_known(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        ImageEncoder(name)
    assert str(error.value).startswith(message)


def test_weights_do_not_come_in_by_another_door(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "weights.pth")
    with pytest.raises(ConfigError, match=r"no 'checkpoint_path' here; give the file as encoder_weights"):
        ImageEncoder("test_resnet", model_args={"checkpoint_path": str(tmp_path / "weights.pth")})


def test_arguments_that_the_model_does_not_take_are_named() -> None:
    with pytest.raises(ConfigError, match=r"model_args of test_resnet: .*'depht'"):
        ImageEncoder("test_resnet", model_args={"depht": 3})
