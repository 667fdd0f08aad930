"""The built-in dataset: scenes of drawn objects with captions, questions and boxes, drawn from a seed."""

from common.data.scenes.levels import COLOURS, DEMO, FULL, LEVELS, SHAPES, SIZES, TEXTURES, TINY, Level
from common.data.scenes.phrases import Mention, named_pairs, read_mentions
from common.data.scenes.sources import SceneCaptions, SceneQuestions
from common.data.scenes.write import write_scenes

__all__ = [
    "COLOURS",
    "DEMO",
    "FULL",
    "LEVELS",
    "SHAPES",
    "SIZES",
    "TEXTURES",
    "TINY",
    "Level",
    "Mention",
    "SceneCaptions",
    "SceneQuestions",
    "named_pairs",
    "read_mentions",
    "write_scenes",
]
