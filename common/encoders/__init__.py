"""From pictures and texts to features."""

from common.encoders.image import ImageEncoder, VisualEncoder, weights_follow
from common.encoders.regions import RegionEncoder
from common.encoders.text import (
    DirectionalTextEncoder,
    HierarchicalTextEncoder,
    TextEncoder,
    TextFeatures,
    TransformerTextEncoder,
)
from common.encoders.words import DynamicMetaEmbedding, LearnedEmbedding, WordEmbedding

__all__ = [
    "DirectionalTextEncoder",
    "DynamicMetaEmbedding",
    "HierarchicalTextEncoder",
    "ImageEncoder",
    "LearnedEmbedding",
    "RegionEncoder",
    "TextEncoder",
    "TextFeatures",
    "TransformerTextEncoder",
    "VisualEncoder",
    "WordEmbedding",
    "weights_follow",
]
