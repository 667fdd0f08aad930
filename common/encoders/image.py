"""Images to regions: any timm model that gives feature maps, as a grid of `VisualFeatures`."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from timm.data import resolve_model_data_config
from timm.models import group_modules, group_parameters
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from typing_extensions import Self

from common.attention.maps import Grid
from common.attention.visual import VisualFeatures
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.encoders.weights import create_backbone, will_follow
from common.errors import CheckpointError, ConfigError

PROBES = 8  # random pictures by which an encoder's geometry is measured


class VisualEncoder(nn.Module, ABC):
    """Pictures in, regions out. `dim` is the regions' width, `preprocessing` what pictures must go through first.

    needs_boxes: the regions are those of given boxes. needs_cache: they are not computed, but read from a cache.
    wraps: the attribute with the encoder on which this one builds, if any.
    """

    dim: int
    preprocessing: Preprocessing
    needs_boxes: bool = False
    needs_cache: bool = False
    wraps: str | None = None

    @property
    @abstractmethod
    def frozen(self) -> bool:
        """True when nothing is trained, so that features may be computed once and kept."""

    @abstractmethod
    def forward(self, images: ImageBatch) -> VisualFeatures:
        """Features [B R D] of a batch of pictures [B 3 H W]."""

    def adapt(self, features: VisualFeatures) -> VisualFeatures:
        """What is still to be done with features [B R D] that may come from a cache: nothing, unless told."""
        return features

    def fingerprint(self) -> str:
        """A digest of weights, settings and preprocessing: features of another fingerprint are other features."""
        digest = hashlib.sha256(repr((self.preprocessing, self.dim, self.extra_repr())).encode())
        for name, tensor in sorted(self.state_dict().items()):
            if isinstance(tensor, Tensor):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()[:16]


class ImageEncoder(VisualEncoder):
    """The feature map of a timm model, one region per cell, row by row.

    Args:
        name: any timm model that has `forward_intermediates` (nearly all: CNNs, ViTs, Swin, ...).
        stage: which feature map, as in timm's `feature_info` (0 is the finest); None takes what `forward_features`
            returns, the last one. Several, such as [1, 2], are brought to the grid of the last one named (finer maps by
            the mean, coarser ones bilinearly) and stand side by side in each region; `stage_widths` tells them apart.
        train_from: the first group of layers that is trained: 0 is the stem (everything), 1 the first stage, and so
            on; None trains nothing.
        batch_norm: "batch" lets the trained part use and update batch statistics; "fixed" keeps the given ones. The
            part that is not trained always keeps them.
        image_size: (height, width) of the network's input; None takes the model's own.
        fit: how a picture is brought to that size, the whole picture in either case: "squash" or "pad".
        geometry: append each region's place (`geometry_features`), so that "where" can be read off the features.
        model_args: further arguments of `timm.create_model`, such as `pretrained_cfg_overlay: {mean: ..., std: ...}`
            for weights that were trained with another normalisation than the model's own.
        weights: "hub" for timm's pretrained ones, the path of a local file, or None for random ones.

    Raises:
        ConfigError: timm has no such model, stage or group of layers.
        CheckpointError: the weights cannot be had or do not fit.
    """

    backbone: Any  # timm's models share an interface, but no class that names it
    mean: Float[Tensor, "3 1 1"]
    std: Float[Tensor, "3 1 1"]
    offset: Float[Tensor, "2"]

    def __init__(
        self,
        name: str,
        stage: int | list[int] | None = None,
        train_from: int | None = None,
        batch_norm: Literal["batch", "fixed"] = "batch",
        image_size: tuple[int, int] | None = None,
        fit: Literal["squash", "pad"] = "squash",
        geometry: bool = False,
        model_args: dict[str, Any] | None = None,
        weights: str | None = None,
    ) -> None:
        super().__init__()
        self.backbone = create_backbone(name, weights, image_size, model_args or {})
        config = resolve_model_data_config(self.backbone)
        height, width = image_size or config["input_size"][1:]
        interpolation: Literal["bilinear", "bicubic"] = (
            "bilinear" if config["interpolation"] == "bilinear" else "bicubic"
        )
        self.preprocessing = Preprocessing(size=(height, width), fit=fit, interpolation=interpolation)
        self.register_buffer("mean", torch.tensor(config["mean"]).view(3, 1, 1) * 255)
        self.register_buffer("std", torch.tensor(config["std"]).view(3, 1, 1) * 255)
        self.stage = self._prune(name, stage)
        self.geometry = geometry
        self.batch_norm = batch_norm
        self.fixed_modules = self._freeze(name, train_from)
        self.stage_widths = self._try_out(height, width)
        self.register_buffer("offset", torch.zeros(2) if will_follow() else self._measure_offset(height, width))
        self.dim = sum(self.stage_widths) + 4 * geometry
        self.train()

    def _prune(self, name: str, stage: int | list[int] | None) -> int | list[int] | None:
        """Drop the layers above every stage, which nothing would use."""
        if stage is None:
            return None
        named, stages = [stage] if isinstance(stage, int) else stage, len(self.backbone.feature_info)
        for number in named:
            if not 0 <= number < stages:
                raise ConfigError(f"{name} has stages 0 to {stages - 1}, not {number}")
        if not named or len(set(named)) < len(named):
            raise ConfigError(f"stage names one stage at least and none twice, not {stage}")
        self.backbone.prune_intermediate_layers(sorted(named), prune_norm=True, prune_head=True)
        return stage

    def _freeze(self, name: str, train_from: int | None) -> list[nn.Module]:
        """Take the layers below `train_from` out of training; the modules that must stay in evaluation mode."""
        if train_from == 0:
            return []
        if train_from is None:
            self.backbone.requires_grad_(False)
            return [self.backbone]
        matcher = self.backbone.group_matcher(coarse=True)
        groups = group_parameters(self.backbone, matcher)
        if not 0 < train_from < len(groups):
            raise ConfigError(f"train_from of {name} is 0 to {len(groups) - 1} or null, not {train_from}")
        fixed = sorted(groups)[:train_from]
        for group in fixed:
            for parameter in groups[group]:
                self.backbone.get_parameter(parameter).requires_grad_(False)
        modules = group_modules(self.backbone, matcher)
        return [self.backbone.get_submodule(module) for group in fixed for module in modules.get(group, ())]

    def _try_out(self, height: int, width: int) -> list[int]:
        """The width of each stage's map; takes what none depends on, such as the classifier's norm, out of training."""
        pixels = torch.zeros(1, 3, height, width)
        self.eval()
        with torch.no_grad():
            self.gives_tokens = self.stage is None and self.backbone.forward_features(pixels).ndim == 3
        with torch.enable_grad():
            maps = self._maps(pixels)
        everything = torch.cat([each.flatten() for each in maps]).sum()
        if trained := [parameter for parameter in self.backbone.parameters() if parameter.requires_grad]:
            for parameter, gradient in zip(
                trained, torch.autograd.grad(everything, trained, allow_unused=True), strict=True
            ):
                parameter.requires_grad_(gradient is not None)
        return [each.shape[1] for each in maps]

    @torch.enable_grad()
    def _measure_offset(self, height: int, width: int) -> Float[Tensor, "2"]:
        """How far right of and below its place in the grid a cell looks, in fractions of the input's sides.

        A convolution of stride 2 that pads three cells evenly looks half a cell up and to the left; in a whole network
        this adds up (15.5 of a ResNet's 32 pixels). What the middle cells' features depend on, by the gradient of
        random sums of them, has its centre that far from the input's.
        """
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(PROBES, 3, height, width, generator=generator).requires_grad_()
        feature_map = self.feature_map(noise)
        rows, columns = feature_map.shape[2:]
        middle = feature_map[:, :, (rows - 1) // 2 : rows // 2 + 1, (columns - 1) // 2 : columns // 2 + 1]
        mixture = (middle * torch.randn(middle.shape, generator=generator)).sum()
        reach = torch.autograd.grad(mixture, noise)[0].double().abs().sum(1)  # [P H W]
        total = reach.sum((1, 2), keepdim=True)
        if not (total > 0).all():  # nothing is known of a network that answers to nothing
            return torch.zeros(2)
        share = (reach / total).mean(0)  # [H W]
        x = share.sum(0) @ ((torch.arange(width, dtype=share.dtype) + 0.5) / width)
        y = share.sum(1) @ ((torch.arange(height, dtype=share.dtype) + 0.5) / height)
        return (torch.stack([x, y]) - 0.5).float()

    @property
    def frozen(self) -> bool:
        """True when no layer is trained."""
        return not any(parameter.requires_grad for parameter in self.backbone.parameters())

    def train(self, mode: bool = True) -> Self:
        """Training mode for the part that is trained, evaluation mode (fixed batch statistics) for the rest."""
        super().train(mode)
        for module in self.fixed_modules:
            module.eval()
        if self.batch_norm == "fixed":
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def feature_map(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B D h w"]:
        """The feature map of normalised pictures, of all stages together."""
        *others, last = self._maps(pixels)
        size = last.shape[2], last.shape[3]
        return torch.cat([*(resize_map(each, size) for each in others), last], 1) if others else last

    def _maps(self, pixels: Float[Tensor, "B 3 H W"]) -> list[Float[Tensor, "B _D _h _w"]]:
        """The feature maps of normalised pictures, one for each stage named, each on its own grid."""
        if self.stage is not None:
            named = [self.stage] if isinstance(self.stage, int) else self.stage
            maps = self._intermediate(pixels, sorted(named), norm=False)  # timm gives them from the finest on
            return [maps[sorted(named).index(number)] for number in named]
        if self.gives_tokens:  # a transformer's [B prefix+h*w D]: take the grid of the last layer, normalised
            return self._intermediate(pixels, 1, norm=True)
        features = self.backbone.forward_features(pixels)
        return [features.permute(0, 3, 1, 2) if getattr(self.backbone, "output_fmt", "NCHW") == "NHWC" else features]

    def _intermediate(
        self, pixels: Float[Tensor, "B 3 H W"], which: int | list[int], norm: bool
    ) -> list[Float[Tensor, "B _D _h _w"]]:
        """The maps that timm is asked for: a list of stages or, as a number, how many of the last."""
        return self.backbone.forward_intermediates(
            pixels, indices=which, norm=norm, output_fmt="NCHW", intermediates_only=True, stop_early=True
        )

    def extra_repr(self) -> str:
        """What tells apart two encoders of the same weights."""
        return f"stage={self.stage}, geometry={self.geometry}"

    def get_extra_state(self) -> dict[str, Any]:
        """The preprocessing: it belongs to the weights and travels with them."""
        return asdict(self.preprocessing)

    def set_extra_state(self, state: Any) -> None:
        """Take the preprocessing that the weights were trained with.

        Raises:
            CheckpointError: it is not of this version's form.
        """
        try:
            self.preprocessing = Preprocessing(**(state | {"size": tuple(state["size"])}))
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"the weights want a preprocessing unknown here, {state!r}: use the version that wrote them"
            ) from error

    def forward(self, images: ImageBatch) -> VisualFeatures:
        """Features [B R D] of pictures [B 3 H W], R = h * w; `keep` is False for cells that see padding only."""
        pixels = (images.pixels.to(self.mean.dtype) - self.mean) / self.std
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            feature_map = self.feature_map(pixels)
        height, width = feature_map.shape[2:]
        keep = touch_picture(Grid(height, width, images.view).rectangles())
        sides = images.view[:, 2:] - images.view[:, :2]  # of what the network sees, in fractions of the picture
        grid = Grid(height, width, images.view + (sides * self.offset).repeat(1, 2))
        values = feature_map.flatten(2).transpose(1, 2)  # [B R D]
        if self.geometry:
            values = torch.cat([values, geometry_features(grid.rectangles()).to(values.dtype)], -1)
        return VisualFeatures(values, keep, grid)


def geometry_features(rectangles: Float[Tensor, "*B 4"]) -> Float[Tensor, "*B 4"]:
    """Rectangles in fractions of the picture, centred and scaled to -2..2: as large as what a network computes, or
    "left" and "right" are learned long after everything else."""
    return 4 * (rectangles - 0.5)


def touch_picture(rectangles: Float[Tensor, "*B 4"]) -> Bool[Tensor, "*B"]:
    """True where a rectangle, in fractions of the picture, and the picture have more than an edge in common."""
    return ((rectangles[..., 2:] > 1e-6) & (rectangles[..., :2] < 1 - 1e-6)).all(-1)


def resize_map(feature_map: Float[Tensor, "B D h w"], size: tuple[int, int]) -> Float[Tensor, "B D H W"]:
    """A feature map on another grid of the same picture: the mean of finer cells, coarser ones interpolated."""
    if feature_map.shape[2] >= size[0] and feature_map.shape[3] >= size[1]:
        return nn.functional.adaptive_avg_pool2d(feature_map, size)
    return nn.functional.interpolate(feature_map, size, mode="bilinear")
