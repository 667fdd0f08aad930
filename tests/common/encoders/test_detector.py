from __future__ import annotations

import socket
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import box_iou

from common.attention import DetectedBoxes
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.data.pictures import Picture, collate
from common.encoders import DetectorEncoder, ImageEncoder, RegionEncoder, weights, weights_follow
from common.encoders.detector import Limits, _choose, create_detector
from common.errors import CheckpointError, ConfigError

NAME = "fasterrcnn_mobilenet_v3_large_320_fpn"
SMALL = "ssdlite320_mobilenet_v3_large"  # so that its files are
SIZE = 64


@pytest.fixture(scope="module")
def encoder() -> DetectorEncoder:
    torch.manual_seed(0)
    return DetectorEncoder(NAME, None, Limits(0.2, 3, 5), SIZE)


def pictures(*sizes: tuple[int, int]) -> list[Picture]:
    return [Picture(Path(), Image.effect_noise(size, 90).convert("RGB")) for size in sizes]


def test_a_detector_gives_boxes_with_names_scores_and_features(encoder: DetectorEncoder) -> None:
    features = encoder(collate(pictures((64, 48), (20, 40)), encoder))
    batch, regions, dim = features.values.shape
    assert (batch, dim, encoder.dim) == (2, 1024, 1024)
    assert 1 <= regions <= 5
    layout = features.layout
    assert isinstance(layout, DetectedBoxes)
    assert layout.names[:2] == ("picture", "person")
    assert len(layout.names) == 91
    for row in range(batch):
        keep = features.keep[row]
        corners, scores = layout.corners[row][keep], layout.scores[row][keep]
        assert (corners >= 0).all()
        assert (corners <= 1).all()
        assert (corners[:, :2] < corners[:, 2:]).all()
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
        assert not features.values[row][~keep].any()
    assert features.values.isfinite().all()


def found(*boxes: tuple[list[float], float, int]) -> dict[str, Tensor]:
    corners, scores, labels = zip(*boxes, strict=True)
    return {"boxes": torch.tensor(corners), "scores": torch.tensor(scores), "labels": torch.tensor(labels)}


APART: tuple[tuple[list[float], float, int], ...] = tuple(
    ([20.0 * number, 0.0, 20.0 * number + 10, 10.0], score, number + 1)
    for number, score in enumerate((0.9, 0.7, 0.3, 0.1, 0.05))
)


@pytest.mark.parametrize(
    ("limits", "taken"),
    [
        (Limits(0.2, 0, 10), [1, 2, 3]),
        (Limits(0.2, 4, 10), [1, 2, 3, 4]),
        (Limits(0.2, 10, 10), [1, 2, 3, 4, 5]),
        (Limits(0.2, 0, 2), [1, 2]),
        (Limits(0.95, 0, 10), []),
        (Limits(0.0, 0, 10), [1, 2, 3, 4, 5]),
    ],
)
def test_boxes_are_taken_by_score_so_many_at_least_and_at_most(limits: Limits, taken: list[int]) -> None:
    corners, scores, classes = _choose(found(*APART), limits)
    assert classes.tolist() == taken
    assert scores.tolist() == pytest.approx([APART[kind - 1][1] for kind in taken])
    assert corners.tolist() == [APART[kind - 1][0] for kind in taken]


def test_one_thing_is_one_box_whatever_it_may_be_and_a_speck_is_none() -> None:
    same = found(
        ([0, 0, 100, 100], 0.5, 1), ([0, 0, 100, 95], 0.9, 2), ([0, 0, 100, 50], 0.8, 3), ([5, 5, 5.5, 9], 1, 4)
    )
    assert _choose(same, Limits(0.2, 10, 10, overlap=0.7))[2].tolist() == [2, 3]
    corners, _, classes = _choose(same, Limits(0.2, 10, 10, overlap=1.0))
    assert classes.tolist() == [2, 3, 1]
    assert box_iou(corners, corners)[0, 2] == pytest.approx(0.95)


@pytest.mark.parametrize(
    "limits", [{"threshold": 2.0}, {"overlap": 0.0}, {"fewest": -1}, {"fewest": 5, "most": 4}, {"fewest": 0, "most": 0}]
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"limits need a threshold and an overlap in 0\.\.1"):
        Limits(**limits)


class Finds(nn.Module):
    """A one-stage detector whose maps are the mean colours of squares of 4 pixels, and that finds given boxes."""

    def __init__(self, boxes: list[list[list[float]]]) -> None:
        super().__init__()
        self.transform = GeneralizedRCNNTransform(SIZE, SIZE, [0.0] * 3, [1.0] * 3, size_divisible=16)
        self.backbone = nn.Identity()
        self.boxes = boxes

    def forward(self, images: list[Tensor]) -> list[dict[str, Tensor]]:
        self.seen = images
        prepared, _ = self.transform(images)
        means = [nn.functional.avg_pool2d(prepared.tensors, side) for side in (4, 8, 16)]
        self.backbone(OrderedDict(zip("012", means, strict=True)))
        count = [len(each) for each in self.boxes]
        return [
            {"boxes": torch.tensor(each).view(-1, 4), "scores": torch.full((n,), 0.5), "labels": torch.ones(n).long()}
            for each, n in zip(self.boxes, count, strict=True)
        ]


def finding(encoder: DetectorEncoder, monkeypatch: pytest.MonkeyPatch, boxes: list[list[list[float]]]) -> Finds:
    finds = Finds(boxes)
    monkeypatch.setitem(encoder._modules, "detector", finds)  # type: ignore[arg-type]
    return finds


def halves(size: tuple[int, int]) -> Picture:
    """Red on the left, blue on the right."""
    image = Image.new("RGB", size, "red")
    image.paste((0, 0, 255), (size[0] // 2, 0, *size))
    return Picture(Path(), image)


def test_the_detector_sees_the_picture_without_its_padding_and_boxes_are_fractions_of_it(
    encoder: DetectorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, right = [0.0, 0.0, 32.0, 32.0], [32.0, 0.0, 64.0, 32.0]
    finds = finding(encoder, monkeypatch, [[left, right], [[0.0, 0.0, 8.0, 64.0]]])
    features = encoder(collate([halves((640, 320)), halves((16, 64))], encoder))
    assert [tuple(each.shape) for each in finds.seen] == [(3, 32, 64), (3, 64, 16)]
    assert features.keep.tolist() == [[True, True], [True, False]]
    corners = features.layout.rectangles()
    torch.testing.assert_close(corners[0], torch.tensor([[0, 0, 0.5, 1], [0.5, 0, 1, 1]]))
    torch.testing.assert_close(corners[1, 0], torch.tensor([0, 0, 0.5, 1]))
    colours = torch.tensor([[[1.0, 0, 0], [0, 0, 1.0]], [[1.0, 0, 0], [0, 0, 0]]])
    torch.testing.assert_close(features.values, colours, atol=0.3, rtol=0)  # blurred at the edge between the halves


def test_a_picture_in_which_nothing_is_found_is_one_region(
    encoder: DetectorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding(encoder, monkeypatch, [[], [[0.0, 0.0, 8.0, 8.0], [32.0, 0.0, 48.0, 8.0]]])
    features = encoder(collate([halves((64, 64)), halves((64, 64))], encoder))
    assert features.keep.tolist() == [[True, False], [True, True]]
    layout = features.layout
    assert isinstance(layout, DetectedBoxes)
    assert layout.corners[0, 0].tolist() == [0, 0, 1, 1]
    assert layout.scores[0, 0] == 0
    assert layout.names[int(layout.classes[0, 0])] == "picture"
    torch.testing.assert_close(features.values[0, 0], torch.tensor([0.5, 0, 0.5]), atol=0.05, rtol=0)


def test_another_encoder_may_describe_the_boxes(encoder: DetectorEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = ImageEncoder("test_resnet", image_size=(SIZE, SIZE)).eval()
    described = DetectorEncoder(NAME, None, Limits(), SIZE, grid, geometry=True).eval()
    assert described.dim == grid.dim + 4
    finding(described, monkeypatch, [[[4.0, 4.0, 40.0, 60.0]]])
    batch = collate(pictures((SIZE, SIZE)), described)  # as large as the grid's input: nothing is scaled
    corners, keep = torch.tensor([[[4.0, 4.0, 40.0, 60.0]]]) / SIZE, torch.ones(1, 1, dtype=torch.bool)
    expected = RegionEncoder(grid, geometry=True)(ImageBatch(batch.pixels, batch.view, corners, keep))
    torch.testing.assert_close(described(batch).values, expected.values)


def test_a_described_box_is_found_again_on_a_squashed_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = ImageEncoder("test_resnet", image_size=(32, 32)).eval()
    described = DetectorEncoder(NAME, None, Limits(), SIZE, grid).eval()
    finding(described, monkeypatch, [[[0.0, 0.0, 32.0, 32.0]]])
    picture = halves((640, 320))
    squashed, view = Preprocessing((32, 32)).prepare(picture.image)
    keep = torch.ones(1, 1, dtype=torch.bool)
    images = ImageBatch(squashed[None], view[None], torch.tensor([[[0, 0, 0.5, 1.0]]]), keep)
    expected = RegionEncoder(grid)(images).values
    torch.testing.assert_close(described(collate([picture], described)).values, expected, rtol=0.05, atol=0.02)


def test_a_detector_is_never_trained_and_what_describes_may_be(encoder: DetectorEncoder) -> None:
    encoder.train()
    assert encoder.training
    assert not encoder.detector.training
    assert encoder.frozen
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    trained = DetectorEncoder(NAME, None, image_size=SIZE, grid=ImageEncoder("test_resnet", train_from=0))
    assert not trained.frozen
    trained(collate(pictures((8, 8)), trained)).values.sum().backward()  # type: ignore[no-untyped-call]
    assert any(parameter.grad is not None for parameter in trained.parameters())


def test_the_fingerprint_knows_the_limits_and_the_size(
    encoder: DetectorEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    fingerprints = [encoder.fingerprint()]
    for name, value in (("limits", Limits(0.3)), ("preprocessing", Preprocessing((600, 600), "pad", "bilinear"))):
        monkeypatch.setattr(encoder, name, value)
        fingerprints.append(encoder.fingerprint())
    assert len(set(fingerprints)) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"name": "fasterrcnn_resnet50"},
            "torchvision has no detector 'fasterrcnn_resnet50'; did you mean 'fasterrcnn",
        ),
        ({"name": "ssdlite320_mobilenet_v3_large"}, "has no features of boxes: give a grid, such as"),
        ({"weights": "hub"}, "encoder_weights are those of a grid, and there is none"),
        ({"grid": ImageEncoder("test_resnet", fit="pad")}, "the grid of a DetectorEncoder is an encoder of whole"),
    ],
)
def test_wrong_settings_are_told(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DetectorEncoder(**({"name": NAME, "detector_weights": None, "image_size": SIZE} | settings))


# Weights


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """The weights as torchvision's files have them: without what is only counted."""
    state = create_detector(SMALL, None).state_dict()
    return {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_are_read_from_a_file(state: dict[str, Tensor], tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights.{suffix}"
    if suffix == "pth":
        torch.save({"model": state, "epoch": 26}, path)  # as torchvision's own training writes them
    else:
        save_file(state, path)
    again = create_detector(SMALL, str(path)).state_dict()
    assert all(torch.equal(again[name], value) for name, value in state.items())


def test_weights_of_the_hub_are_read_from_where_they_were_downloaded(
    state: dict[str, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(state, folder / "ssdlite320_mobilenet_v3_large_coco-a79551df.pth")
    again = create_detector(SMALL, "hub").state_dict()
    assert all(torch.equal(again[name], value) for name, value in state.items())


@pytest.mark.parametrize("silent", [True, False])
def test_a_hub_that_is_away_gives_a_clear_error_and_no_stall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "HUB_TIMEOUT", 0.2)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if silent:
            server.listen()
        address = f"http://127.0.0.1:{server.getsockname()[1]}/weights.pth"
        start = time.monotonic()
        with pytest.raises(
            CheckpointError, match="cannot be reached; connect, or give the path of a local file, or null"
        ):
            weights.fetch_weights(address)
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no weights file .*; give the path of a .safetensors or .pth file, 'hub', or null"),
        (b"not weights", r"weights .*\.pth cannot be read: it is no "),
        ([1, 2], "hold no tensors by name"),
        ({"a": torch.zeros(1)}, f"do not fit {SMALL}: the file lacks backbone"),
        ("more", f"do not fit {SMALL}: {SMALL} has no more"),
        ("shape", f"do not fit {SMALL}: size mismatch for backbone"),
    ],
)
def test_weights_that_do_not_fit_are_told(state: dict[str, Tensor], tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "weights.pth"
    if content == "more":
        content = state | {"more": torch.zeros(1)}
    if content == "shape":
        content = state | {next(iter(state)): torch.zeros(1)}
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=message) as caught:
        create_detector(SMALL, str(path))
    assert "\n" not in str(caught.value)


def test_weights_that_follow_are_not_read() -> None:
    with weights_follow():
        assert create_detector(SMALL, "absent.pth")


def test_batch_norms_of_the_first_resnet_detectors_have_no_epsilon() -> None:
    detector = create_detector("fasterrcnn_resnet50_fpn", None)
    assert {module.eps for module in detector.backbone.modules() if isinstance(module, nn.BatchNorm2d)} == {0.0}
