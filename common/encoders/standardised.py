"""Features of equal size: each brought to mean 0 and variance 1, as it is over the training pictures."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from common.attention.places import CORNER_DIM, corner_features
from common.attention.visual import VisualFeatures
from common.data.batches import ImageBatch
from common.data.images import Preprocessing
from common.encoders.image import VisualEncoder

LEAST = 1e-3  # of the deviation that is divided by: what hardly varies is not blown up


class StandardisedEncoder(VisualEncoder):
    """(v - mean) / deviation of each feature of `encoder`, over all valid regions that training has seen so far.

    What ends in a ReLU is never negative, and some of it is ten times as large as the rest: a model then learns for
    long to take off the mean before it learns anything of the picture. A cache keeps the features as `encoder` gives
    them; `adapt` comes after it.

    Args:
        encoder: any.
        places: let each region's features be followed by where it lies (`corner_features`), for questions of where
            things are. As large as the others, they do not drown in these.
    """

    wraps = "encoder"
    count: Float[Tensor, ""]
    total: Float[Tensor, " E"]
    squares: Float[Tensor, " E"]

    def __init__(self, encoder: VisualEncoder, places: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.places = places
        self.dim = encoder.dim + CORNER_DIM * places
        self.needs_boxes, self.needs_cache = encoder.needs_boxes, encoder.needs_cache
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("total", torch.zeros(encoder.dim, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(encoder.dim, dtype=torch.float64))

    @property
    def preprocessing(self) -> Preprocessing:  # type: ignore[override]  # an attribute in the base class
        """That of the encoder."""
        return self.encoder.preprocessing

    @property
    def frozen(self) -> bool:
        """True when the encoder is."""
        return self.encoder.frozen

    def fingerprint(self) -> str:
        """That of the encoder, whose features a cache keeps."""
        return self.encoder.fingerprint()

    def forward(self, images: ImageBatch) -> VisualFeatures:
        """Features [B R E] of pictures [B 3 H W], as they are."""
        features: VisualFeatures = self.encoder(images)
        return features

    def adapt(self, features: VisualFeatures) -> VisualFeatures:
        """Features [B R E] brought to equal size, [B R D] with their places; in training they count for the mean and
        the deviation first. Where no training has seen any, they stay as they are."""
        if self.training:
            self._count(features)
        values = self._standardised(features.values) if self.count else features.values
        if self.places:
            values = torch.cat([values, corner_features(features.layout).to(values.dtype)], -1)
        return replace(features, values=values * features.keep.unsqueeze(-1))

    def _standardised(self, values: Float[Tensor, "B R E"]) -> Float[Tensor, "B R E"]:
        mean = self.total / self.count
        deviation = (self.squares / self.count - mean**2).clamp(min=0).sqrt().clamp(min=LEAST)
        return (values.float() - mean.float()) / deviation.float()

    @torch.no_grad()
    def _count(self, features: VisualFeatures) -> None:
        valid = features.values[features.keep].double()  # [N D]
        self.count += len(valid)
        self.total += valid.sum(0)
        self.squares += valid.square().sum(0)
