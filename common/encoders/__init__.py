"""From pictures and texts to features."""

from common.encoders.facts import FactEncoder, Facts
from common.encoders.image import ImageEncoder, VisualEncoder, weights_follow
from common.encoders.joined import JoinedEncoder
from common.encoders.questions import ConvolutionalTextEncoder, PositionalTextEncoder, RecurrentTextEncoder
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
    "ConvolutionalTextEncoder",
    "DirectionalTextEncoder",
    "DynamicMetaEmbedding",
    "FactEncoder",
    "Facts",
    "HierarchicalTextEncoder",
    "ImageEncoder",
    "JoinedEncoder",
    "LearnedEmbedding",
    "PositionalTextEncoder",
    "RecurrentTextEncoder",
    "RegionEncoder",
    "TextEncoder",
    "TextFeatures",
    "TransformerTextEncoder",
    "VisualEncoder",
    "WordEmbedding",
    "weights_follow",
]
