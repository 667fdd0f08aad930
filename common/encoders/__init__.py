"""From pictures and texts to features."""

from common.encoders.detector import DetectorEncoder
from common.encoders.facts import FactEncoder, Facts
from common.encoders.image import ImageEncoder, VisualEncoder
from common.encoders.joined import JoinedEncoder
from common.encoders.questions import ConvolutionalTextEncoder, PositionalTextEncoder, RecurrentTextEncoder
from common.encoders.regions import RegionEncoder
from common.encoders.standardised import StandardisedEncoder
from common.encoders.stored import StoredRegions
from common.encoders.text import (
    DirectionalTextEncoder,
    HierarchicalTextEncoder,
    TextEncoder,
    TextFeatures,
    TransformerTextEncoder,
)
from common.encoders.weights import weights_follow
from common.encoders.words import DynamicMetaEmbedding, LearnedEmbedding, WordEmbedding

__all__ = [
    "ConvolutionalTextEncoder",
    "DetectorEncoder",
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
    "StandardisedEncoder",
    "StoredRegions",
    "TextEncoder",
    "TextFeatures",
    "TransformerTextEncoder",
    "VisualEncoder",
    "WordEmbedding",
    "weights_follow",
]
