"""The taxonomy of attention (Chaudhari et al., "An Attentive Survey of Attention Models"), one file per axis."""

from common.attention.attention import Attention, PreparedKeys
from common.attention.bilinear import BilinearCoAttention
from common.attention.directional import DirectionalSelfAttention, SourceToToken
from common.attention.distributions import Distribution, Entmax15, Sigmoid, Softmax, Sparsemax
from common.attention.dynamic_memory import DynamicMemory
from common.attention.gates import SentinelAttention
from common.attention.glimpses import GlimpseAttention
from common.attention.grounded import GroundedWords
from common.attention.guided import GuidedCoAttention
from common.attention.levels import RecursiveEncoding, TwoLevel
from common.attention.local import LocalMonotonic, LocalPredictive
from common.attention.maps import AttentionMap, Boxes, DetectedBoxes, Grid, Words
from common.attention.mechanism import AttentionMechanism, AttentionOutput
from common.attention.memory import EndToEndMemory, KeyValueMemory, StackedAttention
from common.attention.multi_head import AttentionOnAttention, MultiHead
from common.attention.positions import GumbelStraightThrough, Hard, Position, Soft
from common.attention.representations import ChannelSpatial, MixedSources, MultiDimensional
from common.attention.scores import (
    ActivatedGeneralScore,
    AdditiveScore,
    ConcatScore,
    CosineScore,
    DeepScore,
    DotScore,
    FeatureScore,
    GatedScore,
    GeneralScore,
    LocationScore,
    ScaledDotScore,
    Score,
)
from common.attention.self_attention import AoARefiner, Refiner, SelfAttended, TransformerRefiner
from common.attention.sequences import (
    AlternatingCoAttention,
    CoAttention,
    CoAttentionOutput,
    ParallelCoAttention,
    QuestionGuided,
)
from common.attention.stages import StagedChannelSpatial
from common.attention.structured import StructuredPooling
from common.attention.visual import VisualFeatures

__all__ = [
    "ActivatedGeneralScore",
    "AdditiveScore",
    "AlternatingCoAttention",
    "AoARefiner",
    "Attention",
    "AttentionMap",
    "AttentionMechanism",
    "AttentionOnAttention",
    "AttentionOutput",
    "BilinearCoAttention",
    "Boxes",
    "ChannelSpatial",
    "CoAttention",
    "CoAttentionOutput",
    "ConcatScore",
    "CosineScore",
    "DeepScore",
    "DetectedBoxes",
    "DirectionalSelfAttention",
    "Distribution",
    "DotScore",
    "DynamicMemory",
    "EndToEndMemory",
    "Entmax15",
    "FeatureScore",
    "GatedScore",
    "GeneralScore",
    "GlimpseAttention",
    "Grid",
    "GroundedWords",
    "GuidedCoAttention",
    "GumbelStraightThrough",
    "Hard",
    "KeyValueMemory",
    "LocalMonotonic",
    "LocalPredictive",
    "LocationScore",
    "MixedSources",
    "MultiDimensional",
    "MultiHead",
    "ParallelCoAttention",
    "Position",
    "PreparedKeys",
    "QuestionGuided",
    "RecursiveEncoding",
    "Refiner",
    "ScaledDotScore",
    "Score",
    "SelfAttended",
    "SentinelAttention",
    "Sigmoid",
    "Soft",
    "Softmax",
    "SourceToToken",
    "Sparsemax",
    "StackedAttention",
    "StagedChannelSpatial",
    "StructuredPooling",
    "TransformerRefiner",
    "TwoLevel",
    "VisualFeatures",
    "Words",
]
