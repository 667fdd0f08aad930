"""Readers of datasets: files as they are published -> records. Each is named in a config by its class."""

from common.data.readers.coco import CocoCaptions
from common.data.readers.daquar import DaquarQuestions
from common.data.readers.flickr import Flickr8kCaptions, Flickr30kCaptions
from common.data.readers.folder import PictureFolder
from common.data.readers.jsonl import JsonlCaptions, JsonlQuestions
from common.data.readers.karpathy import KarpathyCaptions
from common.data.readers.shares import QuestionShare
from common.data.readers.sources import CaptionSource, VQASource
from common.data.readers.vqa import VQAQuestions

__all__ = [
    "CaptionSource",
    "CocoCaptions",
    "DaquarQuestions",
    "Flickr8kCaptions",
    "Flickr30kCaptions",
    "JsonlCaptions",
    "JsonlQuestions",
    "KarpathyCaptions",
    "PictureFolder",
    "QuestionShare",
    "VQAQuestions",
    "VQASource",
]
