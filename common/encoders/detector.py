"""Pictures to the boxes that a detector finds in them: attention over things, as in bottom-up attention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models import detection as detectors  # type: ignore[import-untyped]
from torchvision.models import get_model, get_model_weights, list_models
from torchvision.ops import MultiScaleRoIAlign, nms, remove_small_boxes  # type: ignore[import-untyped]
from typing_extensions import Self

from common.attention.maps import DetectedBoxes
from common.attention.visual import VisualFeatures
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.encoders.image import VisualEncoder, geometry_features
from common.encoders.regions import RegionEncoder
from common.encoders.weights import fetch_weights, read_weights, will_follow
from common.errors import CheckpointError, ConfigError, nearest

DETECTORS = sorted(name for name in list_models(module=detectors) if not name.startswith(("maskrcnn", "keypointrcnn")))
CANDIDATE = 0.01  # the least score that is looked at: what `fewest` fills up with
ROI = 7  # samples of a box in each direction, where the detector itself takes none
WHOLE = "picture"  # what the region is called that stands for a picture in which nothing is found
_NO_EPSILON = ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn")  # their weights are of batch norms without one


@dataclass(frozen=True)
class Limits:
    """Which of the boxes that a detector finds are taken, the surest first. The defaults are bottom-up attention's.

    threshold: boxes of at least this score, in 0..1, are.
    fewest: so many are at least, as far as there are boxes of a score above 0.01.
    most: so many are at most.
    overlap: of two boxes that overlap more (intersection over union), whatever their classes, the surer one is.
    """

    threshold: float = 0.2
    fewest: int = 10
    most: int = 100
    overlap: float = 0.7

    def __post_init__(self) -> None:
        if not (0 <= self.threshold <= 1 and 0 < self.overlap <= 1 and 0 <= self.fewest <= self.most and self.most > 0):
            raise ConfigError(
                f"limits need a threshold and an overlap in 0..1, and no more as fewest than as most, not {self}"
            )


class DetectorEncoder(VisualEncoder):
    """The boxes that one of torchvision's detectors finds in a picture, and a feature vector of each.

    The detector is not trained. The vectors are what its own second stage classifies a box by (1024 numbers) or, where
    it has no second stage, the mean of its feature pyramid inside the box (256); or they are those of an `ImageEncoder`
    (`RegionEncoder`). A picture in which nothing is found has one region: the whole of it. So a model of these regions
    can be used on any picture, which a model of downloaded ones cannot.

    Args:
        name: such as fasterrcnn_resnet50_fpn_v2, fasterrcnn_mobilenet_v3_large_fpn, retinanet_resnet50_fpn_v2.
        detector_weights: "hub" for torchvision's (COCO, 80 classes), the path of a local file, or None for random ones.
        limits: which boxes are taken.
        image_size: of the longer side of what the detector sees, in pixels.
        grid: what describes the boxes in place of the detector; it sees the picture at its own size, squashed.
        geometry: append each box's place (`geometry_features`).
        weights: those of `grid`.

    Raises:
        ConfigError: torchvision has no such detector, or it gives no features and there is no `grid`.
        CheckpointError: the weights cannot be had or do not fit.
    """

    def __init__(
        self,
        name: str,
        detector_weights: str | None,
        limits: Limits = Limits(),
        image_size: int = 800,
        grid: VisualEncoder | None = None,
        geometry: bool = False,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        if weights is not None and grid is None:
            raise ConfigError(
                "encoder_weights are those of a grid, and there is none: a detector's are detector_weights"
            )
        if grid is not None and (grid.needs_boxes or grid.preprocessing.fit != "squash"):
            raise ConfigError("the grid of a DetectorEncoder is an encoder of whole pictures with fit: squash")
        self.name, self.limits, self.geometry = name, limits, geometry
        self.detector = create_detector(name, detector_weights)
        head = getattr(self.detector, "roi_heads", self.detector)
        head.score_thresh, head.detections_per_img = CANDIDATE, 4 * limits.most
        self.detector.transform.min_size, self.detector.transform.max_size = (image_size,), image_size
        self.preprocessing = Preprocessing((image_size, image_size), fit="pad", interpolation="bilinear")
        self.describe = None if grid is None else RegionEncoder(grid)
        self.pool = MultiScaleRoIAlign(["0", "1", "2"], ROI, 2)
        self.dim = (_own_width(name, self.detector) if self.describe is None else self.describe.dim) + 4 * geometry
        self.names = (WHOLE, *get_model_weights(name).DEFAULT.meta["categories"][1:])
        self.train()

    @property
    def frozen(self) -> bool:
        """True unless a grid is trained."""
        return self.describe is None or self.describe.frozen

    def train(self, mode: bool = True) -> Self:
        """The detector stays in evaluation mode."""
        super().train(mode)
        self.detector.eval()
        return self

    def extra_repr(self) -> str:
        """What tells apart two encoders of the same weights."""
        described = "" if self.describe is None else f", {self.describe.extra_repr()}"
        return f"{self.name}, {self.limits}, size={self.preprocessing.size[0]}, geometry={self.geometry}{described}"

    def forward(self, images: ImageBatch) -> VisualFeatures:
        """Features [B R D] of the boxes found in pictures [B 3 H W], the surest first; R is the most in one of them."""
        pictures = _without_padding(images)
        with torch.no_grad(), torch.autocast(images.pixels.device.type, enabled=False), self._watched() as seen:
            found = [_choose(each, self.limits) for each in self.detector(pictures)]
            found = [each if len(each[0]) else _whole(picture) for each, picture in zip(found, pictures, strict=True)]
            values = None if self.describe else self._own_features(seen, [each[0] for each in found], pictures)
        most = max(len(boxes) for boxes, _, _ in found)
        layout, keep = self._layout(found, pictures, most)
        if values is None:
            values = self._described(pictures, layout, keep)
        if self.geometry:
            values = torch.cat([values, geometry_features(layout.corners).to(values.dtype)], -1)
        return VisualFeatures(values * keep.unsqueeze(-1), keep, layout)

    def _layout(
        self, found: list[tuple[Tensor, Tensor, Tensor]], pictures: list[Tensor], most: int
    ) -> tuple[DetectedBoxes, Tensor]:
        """All boxes of the batch in fractions of their pictures, filled up with empty ones, and which are valid."""
        corners = found[0][0].new_zeros(len(found), most, 4)
        scores, classes = corners.new_zeros(len(found), most), corners.new_zeros(len(found), most, dtype=torch.long)
        keep = torch.zeros_like(scores, dtype=torch.bool)
        for row, ((boxes, sure, what), picture) in enumerate(zip(found, pictures, strict=True)):
            height, width = picture.shape[1:]
            corners[row, : len(boxes)] = boxes / boxes.new_tensor([width, height, width, height])
            scores[row, : len(boxes)], classes[row, : len(boxes)], keep[row, : len(boxes)] = sure, what, True
        return DetectedBoxes(corners.clamp(0, 1), scores, classes, self.names), keep

    def _own_features(self, seen: dict[str, Any], boxes: list[Tensor], pictures: list[Tensor]) -> Tensor:
        """Features [B R D] of the boxes by what the detector has made of the pictures."""
        sizes = seen["sizes"]
        scaled = [
            each * each.new_tensor([width / picture.shape[2], height / picture.shape[1]]).repeat(2)
            for each, picture, (height, width) in zip(boxes, pictures, sizes, strict=True)
        ]
        if hasattr(self.detector, "roi_heads"):
            heads = self.detector.roi_heads
            flat = heads.box_head(heads.box_roi_pool(seen["maps"], scaled, sizes))  # [T D]
        else:
            flat = self.pool(seen["maps"], scaled, sizes).mean((2, 3))  # [T D]
        return nn.utils.rnn.pad_sequence(list(flat.split([len(each) for each in boxes])), batch_first=True)

    def _described(self, pictures: list[Tensor], layout: DetectedBoxes, keep: Tensor) -> Tensor:
        """Features [B R D] of the boxes by the grid's encoder."""
        assert self.describe is not None
        wanted = self.describe.preprocessing
        squashed = torch.cat(
            [
                interpolate(each.unsqueeze(0), wanted.size, mode=wanted.interpolation, antialias=True)
                for each in pictures
            ]
        )
        view = squashed.new_tensor([0, 0, 1, 1]).expand(len(pictures), 4)
        pixels = (255 * squashed).round().clamp(0, 255).to(torch.uint8)
        return self.describe(ImageBatch(pixels, view, layout.corners, keep)).values

    @contextmanager
    def _watched(self) -> Iterator[dict[str, Any]]:
        """Catches what the detector computes on its way: the sizes of its inputs and its feature pyramid."""
        seen: dict[str, Any] = {}
        hooks = [
            self.detector.transform.register_forward_hook(
                lambda _module, _given, made: seen.update(sizes=made[0].image_sizes)
            ),
            self.detector.backbone.register_forward_hook(lambda _module, _given, made: seen.update(maps=made)),
        ]
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()


def create_detector(name: str, weights: str | None) -> Any:
    """A torchvision detector, not to be trained; its weights are not read within `weights_follow`.

    Raises:
        ConfigError: there is no detector `name`.
        CheckpointError: the weights cannot be had or do not fit.
    """
    if name not in DETECTORS:
        raise ConfigError(f"torchvision has no detector {name!r}{nearest(name, DETECTORS)}")
    detector = get_model(name, weights=None, weights_backbone=None).requires_grad_(False)
    if name in _NO_EPSILON:
        for module in detector.backbone.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0
    if weights is not None and not will_follow():
        address = get_model_weights(name).DEFAULT.url
        state = fetch_weights(address) if weights == "hub" else read_weights(Path(weights))
        if fault := _misfit(detector, name, state):
            raise CheckpointError(f"weights {weights} do not fit {name}: {fault}")
    return detector


def _misfit(detector: nn.Module, name: str, state: dict[str, Tensor]) -> str | None:
    """Give a detector its weights; what is wrong with the first of them that does not fit, None where all do."""
    try:
        missing, unexpected = detector.load_state_dict(state, strict=False)
    except RuntimeError as error:
        return str(error).splitlines()[-1].strip()
    # the counts of batches are those that nothing is computed with
    lacking = [key for key in missing if not key.endswith("num_batches_tracked")]
    if lacking:
        return f"the file lacks {lacking[0]}"
    return f"{name} has no {unexpected[0]}" if unexpected else None


def _own_width(name: str, detector: Any) -> int:
    """How many numbers the detector itself has of a box."""
    if hasattr(detector, "roi_heads"):
        return int(detector.roi_heads.box_predictor.cls_score.in_features)
    if isinstance(width := getattr(detector.backbone, "out_channels", None), int):
        return width
    raise ConfigError(f"{name} has no features of boxes: give a grid, such as common.encoders.ImageEncoder")


def _without_padding(images: ImageBatch) -> list[Float[Tensor, "3 _h _w"]]:
    """The part of each input that shows the picture, in 0..1: grey borders are nothing to find things in."""
    height, width = images.pixels.shape[2:]
    size = images.view.new_tensor([width, height])
    origins, ends = images.view[:, :2], images.view[:, 2:]
    starts = (-origins / (ends - origins) * size).round().long().tolist()
    shapes = (size / (ends - origins)).round().long().clamp(min=1).tolist()
    return [
        pixels[:, top : top + inner_height, left : left + inner_width].float() / 255
        for pixels, (left, top), (inner_width, inner_height) in zip(images.pixels, starts, shapes, strict=True)
    ]


def _choose(found: dict[str, Tensor], limits: Limits) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes [R 4] in pixels, scores [R] and classes [R] of what is taken."""
    boxes, scores, classes = found["boxes"], found["scores"], found["labels"]
    large = remove_small_boxes(boxes, 1.0)
    boxes, scores, classes = boxes[large], scores[large], classes[large]
    order = nms(boxes, scores, limits.overlap)[: limits.most]  # the surest first
    order = order[: max(int((scores[order] >= limits.threshold).sum()), limits.fewest)]
    return boxes[order], scores[order], classes[order]


def _whole(picture: Float[Tensor, "3 h w"]) -> tuple[Tensor, Tensor, Tensor]:
    height, width = picture.shape[1:]
    return (
        picture.new_tensor([[0, 0, width, height]]),
        picture.new_zeros(1),
        torch.zeros(1, dtype=torch.long, device=picture.device),
    )
