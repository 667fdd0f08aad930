"""From pictures and texts to features."""

from common.encoders.image import ImageEncoder, VisualEncoder, weights_follow
from common.encoders.regions import RegionEncoder
from common.encoders.text import HierarchicalTextEncoder, TextEncoder, TextFeatures, TransformerTextEncoder

__all__ = [
    "HierarchicalTextEncoder",
    "ImageEncoder",
    "RegionEncoder",
    "TextEncoder",
    "TextFeatures",
    "TransformerTextEncoder",
    "VisualEncoder",
    "weights_follow",
]
