"""How well captions fit their pictures, with or without references, by a CLIP model (Hessel et al. 2021)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from common.data.images import load_image
from common.encoders.weights import hub_or_cache
from common.errors import CheckpointError, ConfigError, DataError, nearest, one_line
from common.measures import Measure

PAPERS = "ViT-B-32-quickgelu:openai"  # the model and the weights of the paper
WEIGHT = 2.5  # the paper's, which stretches cosines that lie in 0..0.4
PROMPT = "A photo depicts "  # goes before each caption and reference
BATCH = 64
# What open_clip raises for weights that are missing, damaged, of another model, or of another activation.
_DAMAGE = (
    *(OSError, RuntimeError, ValueError, LookupError, EOFError, AssertionError, AttributeError),
    *(UnpicklingError, SafetensorError, UserWarning),
)

Vectors = Float[np.ndarray, "N D"]
Item = TypeVar("Item", Path, str)


def clip_score(captions: Vectors, pictures: Vectors) -> Float[np.ndarray, " N"]:
    """CLIPScore of each caption, 2.5 max(cos, 0), from vectors of length 1."""
    return WEIGHT * np.maximum((captions * pictures).sum(1), 0)


def ref_clip_score(
    scores: Float[np.ndarray, " N"], captions: Vectors, references: Sequence[Float[np.ndarray, "_ D"]]
) -> Float[np.ndarray, " N"]:
    """RefCLIPScore: the harmonic mean of the CLIPScore and the cosine of the likest reference, 0 where either is.

    references: of each caption, vectors of length 1.
    """
    likeness = [(several @ caption).max() for caption, several in zip(captions, references, strict=True)]
    best = np.maximum(likeness, 0)
    total = scores + best
    return np.divide(2 * scores * best, total, out=np.zeros_like(total), where=total > 0)


class Clip:
    """A model that puts pictures and texts into one space.

    model: has `encode_image` of pixels and `encode_text` of tokens, as open_clip's have. prepare: the pixels of a
    picture. tokenize: the tokens of texts [B T]. name: what it is, for whoever reads the scores.
    """

    def __init__(
        self,
        model: nn.Module,
        prepare: Callable[[Image.Image], Tensor],
        tokenize: Callable[[list[str]], Tensor],
        name: str,
    ) -> None:
        self.model: Any = model.eval()
        self.prepare = prepare
        self.tokenize = tokenize
        self.name = name
        self.device = next(model.parameters()).device

    @classmethod
    def load(cls, weights: str = PAPERS, device: str | torch.device = "cpu") -> Clip:
        """A model of open_clip.

        weights: MODEL:TAG for weights of the hub, MODEL:FILE for those of a file, or a folder with both as open_clip
            writes it.
        Raises ConfigError where open_clip is not installed or knows no such model, CheckpointError where its weights
        cannot be had.
        """
        if find_spec("open_clip") is None:
            raise ConfigError("CLIPScore cannot be computed: open_clip is not installed (extra clip); leave out --clip")
        import open_clip

        local, name, source = _parted(weights)
        try:
            with nullcontext() if local else hub_or_cache(), _quietly():
                model, prepare = open_clip.create_model_from_pretrained(name, source, device=device)
                tokenize = open_clip.get_tokenizer(name)
        except _DAMAGE as error:
            reason = one_line(error).partition(". ")[0][:200]
            way_out = "give what open_clip reads" if local else "connect, or give a local file as --clip MODEL:FILE"
            raise CheckpointError(f"no weights {weights} for CLIPScore: {reason}; {way_out}") from error
        return cls(model, prepare, tokenize, f"{weights}, by open_clip {open_clip.__version__}")

    @torch.no_grad()
    def see(self, pictures: Sequence[Path]) -> Vectors:
        """Pictures' vectors, of length 1; raises ImageError for what is none."""
        pixels = torch.stack([self.prepare(load_image(path)) for path in pictures])
        return _units(self.model.encode_image(pixels.to(self.device)))

    @torch.no_grad()
    def read(self, texts: Sequence[str]) -> Vectors:
        """The vectors of captions, of length 1; what is longer than the model can read is cut off."""
        return _units(self.model.encode_text(self.tokenize([PROMPT + text for text in texts]).to(self.device)))


class ClipScores:
    """CLIPScore and RefCLIPScore of captions of these pictures, by image id. Nothing is encoded twice."""

    def __init__(self, clip: Clip, pictures: Mapping[int | str, Path]) -> None:
        self.clip = clip
        self.pictures = pictures
        self._seen: dict[Path, Float[np.ndarray, " D"]] = {}
        self._read: dict[str, Float[np.ndarray, " D"]] = {}

    def measure(
        self, captions: Mapping[int | str, str], references: Mapping[int | str, Sequence[str]]
    ) -> dict[str, Measure]:
        """Both, times 100, in the order of the references; raises DataError where an image has no picture."""
        if absent := [image_id for image_id in references if image_id not in self.pictures]:
            raise DataError(f"image {absent[0]!r} has no picture, which CLIPScore looks at: leave out --clip")
        images = list(references)
        _learn(self._seen, [self.pictures[image_id] for image_id in images], self.clip.see)
        _learn(self._read, [captions[image_id] for image_id in images], self.clip.read)
        _learn(self._read, [text for several in references.values() for text in several], self.clip.read)
        pictures = np.stack([self._seen[self.pictures[image_id]] for image_id in images])
        said = np.stack([self._read[captions[image_id]] for image_id in images])
        truths = [np.stack([self._read[text] for text in references[image_id]]) for image_id in images]
        scores = clip_score(said, pictures)
        return {
            "CLIPScore": Measure(100 * scores),
            "RefCLIPScore": Measure(100 * ref_clip_score(scores, said, truths)),
        }


def _learn(
    known: dict[Item, Float[np.ndarray, " D"]], items: Sequence[Item], encode: Callable[[Sequence[Item]], Vectors]
) -> None:
    """Add the vectors of those items that are not yet known, a batch at a time."""
    new = [item for item in dict.fromkeys(items) if item not in known]
    for begin in range(0, len(new), BATCH):
        batch = new[begin : begin + BATCH]
        known.update(zip(batch, encode(batch), strict=True))


def _units(vectors: Float[Tensor, "B D"]) -> Vectors:
    return functional.normalize(vectors.float(), dim=-1).cpu().numpy()


def _parted(weights: str) -> tuple[bool, str, str | None]:
    """Whether nothing is needed of the hub, and the model's name and its weights as open_clip takes them."""
    import open_clip

    if Path(weights).is_dir():
        return True, f"local-dir:{weights}", None
    name, _, source = weights.partition(":")
    if name not in open_clip.list_models():
        forms = "give MODEL:TAG, MODEL:FILE or a folder"
        raise ConfigError(f"open_clip has no model {name!r}{nearest(name, open_clip.list_models())}; {forms}")
    if Path(source).is_file():
        return True, name, source
    tags = open_clip.list_pretrained_tags_by_model(name)
    if source not in tags:
        raise ConfigError(f"there is no file {source!r}, nor has open_clip such weights of {name}: {', '.join(tags)}")
    return False, name, source


@contextmanager
def _quietly() -> Iterator[None]:
    """Herein open_clip does not tell what it does; that an activation is not that of the weights is an error."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="QuickGELU mismatch")
            yield
    finally:
        logging.disable(before)
