"""Readers of datasets: files as they are published -> records. Each is named in a config by its class."""

from common.data.readers.clevr import CLEVRQuestions
from common.data.readers.coco import CocoCaptions
from common.data.readers.coco_qa import CocoQAQuestions
from common.data.readers.daquar import DaquarQuestions
from common.data.readers.flickr import Flickr8kCaptions, Flickr30kCaptions
from common.data.readers.folder import PictureFolder
from common.data.readers.gqa import GQAQuestions
from common.data.readers.jsonl import JsonlCaptions, JsonlQuestions
from common.data.readers.karpathy import KarpathyCaptions
from common.data.readers.ok_vqa import OKVQAQuestions
from common.data.readers.shares import JoinedQuestions, QuestionShare
from common.data.readers.sources import CaptionSource, VQASource
from common.data.readers.visdial import VisDialQuestions
from common.data.readers.visual7w import Visual7WQuestions
from common.data.readers.vizwiz import VizWizQuestions
from common.data.readers.vqa import VQAQuestions
from common.data.readers.vqa_cp import VQACPQuestions

__all__ = [
    "CLEVRQuestions",
    "CaptionSource",
    "CocoCaptions",
    "CocoQAQuestions",
    "DaquarQuestions",
    "Flickr8kCaptions",
    "Flickr30kCaptions",
    "GQAQuestions",
    "JoinedQuestions",
    "JsonlCaptions",
    "JsonlQuestions",
    "KarpathyCaptions",
    "OKVQAQuestions",
    "PictureFolder",
    "QuestionShare",
    "VQACPQuestions",
    "VQAQuestions",
    "VQASource",
    "VisDialQuestions",
    "Visual7WQuestions",
    "VizWizQuestions",
]
