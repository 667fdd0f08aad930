"""Features of equal size: each brought to mean 0 and variance 1, as it is over the training pictures."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

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
    """

    count: Float[Tensor, ""]
    total: Float[Tensor, " D"]
    squares: Float[Tensor, " D"]

    def __init__(self, encoder: VisualEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.dim = encoder.dim
        self.needs_boxes, self.needs_cache = encoder.needs_boxes, encoder.needs_cache
        self.register_buffer("count", torch.zeros((), dtype=torch.float64))
        self.register_buffer("total", torch.zeros(self.dim, dtype=torch.float64))
        self.register_buffer("squares", torch.zeros(self.dim, dtype=torch.float64))

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
        """Features [B R D] of pictures [B 3 H W], as they are."""
        features: VisualFeatures = self.encoder(images)
        return features

    def adapt(self, features: VisualFeatures) -> VisualFeatures:
        """Features [B R D] of equal size; in training they count for the mean and the deviation first. As they are,
        where no training has seen any."""
        if self.training:
            self._count(features)
        if not self.count:
            return features
        mean = self.total / self.count
        deviation = (self.squares / self.count - mean**2).clamp(min=0).sqrt().clamp(min=LEAST)
        values = (features.values.float() - mean.float()) / deviation.float()
        return replace(features, values=values * features.keep.unsqueeze(-1))

    @torch.no_grad()
    def _count(self, features: VisualFeatures) -> None:
        valid = features.values[features.keep].double()  # [N D]
        self.count += len(valid)
        self.total += valid.sum(0)
        self.squares += valid.square().sum(0)
