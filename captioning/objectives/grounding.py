"""Attention that is told where the objects lie that captions name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from captioning.objectives.base import Captions, Objective
from common.data.records import CaptionRecord, NamedBox
from common.data.vocabulary import END, Vocabulary
from common.errors import DataError
from common.explain.grounding import object_mentions

SMALL = 1e-6  # keeps the logarithm of attention that is nowhere near finite, and its gradient alive


class _Mention(NamedTuple):
    """A word at place [picture, caption, position] of a batch, and the boxes that it may mean."""

    place: tuple[int, int, int]
    boxes: tuple[NamedBox, ...]


class SupervisedAttention(Objective):
    """At the words for objects, attention is to lie in these objects' boxes (Liu et al. 2017), mean over such words.

        "mass":        -log sum_r c_r / max c alpha_r,  c_r the share of region r that lies in a box
        "divergence":  KL(c / sum c || alpha)

    "mass" leaves it to attention where in the boxes it looks; "divergence" wants the boxes filled evenly, as Liu et al.
    do. Regions are cells or boxes alike. Which words mean which boxes is read from names and attributes (see
    `object_mentions`); words that misname what is there, and boxes that no region touches, count for nothing.
    """

    def __init__(
        self, vocabulary: Vocabulary, weight: float = 1.0, loss: Literal["mass", "divergence"] = "mass"
    ) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.weight = weight
        self.loss = loss
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self._known: dict[tuple[int | str, tuple[int, ...]], list[tuple[int, tuple[NamedBox, ...]]]] = {}
        self._mass = float("nan")

    def prepare(self, records: Sequence[CaptionRecord]) -> None:
        """Learn the names and attributes of objects.

        Raises:
            DataError: no picture has boxes.
        """
        boxes = [box for record in records for box in record.boxes]
        if not boxes:
            raise DataError(
                f"SupervisedAttention needs boxes with names, but none of {len(records)} training pictures has any: "
                "give them (see JsonlCaptions), or leave this objective out"
            )
        self.names = {box.name for box in boxes}
        self.attributes = {attribute for box in boxes for attribute in box.attributes}
        self._known.clear()

    def forward(self, captions: Captions) -> dict[str, Float[Tensor, ""]]:
        """The scalar "attention_supervision"; zero where no word of the batch means a box."""
        places, inside = self._targets(captions)
        looks = captions.output.weights[places.unbind(-1)].float()
        member = inside / inside.amax(-1, keepdim=True)
        mass = (member * looks).sum(-1)  # [N]
        self._mass = mass.detach().mean().item() if len(mass) else float("nan")
        if self.loss == "mass":
            losses = -(mass + SMALL).log()
        else:
            target = inside / inside.sum(-1, keepdim=True)
            losses = (torch.special.xlogy(target, target) - target * (looks + SMALL).log()).sum(-1)
        return {"attention_supervision": self.weight * losses.sum() / max(len(losses), 1)}

    def counted(self, captions: Captions) -> dict[str, Int[Tensor, ""]]:
        """The words that mean a box which a region touches."""
        return {"attention_supervision": torch.tensor(len(self._targets(captions)[0]))}

    def readings(self) -> Mapping[str, float]:
        """The share of the attention at object words that lay in their boxes, where there were such words."""
        return {"attention_in_box": self._mass} if self._mass == self._mass else {}

    def _targets(self, captions: Captions) -> tuple[Int[Tensor, "N 3"], Float[Tensor, "N R"]]:
        """The places of the words that mean a box which a region touches, and the share of each region in the boxes."""
        mentions, keep = self._mentions(captions), captions.features.keep
        places = torch.tensor([each.place for each in mentions], dtype=torch.long, device=keep.device).view(-1, 3)
        rectangles = captions.features.layout.rectangles()[places[:, 0]]  # [N R 4]
        inside = share_inside(rectangles, _corners(mentions).to(rectangles)) * keep[places[:, 0]]  # [N R]
        touched = inside.amax(-1) > 0
        return places[touched], inside[touched]

    def _mentions(self, captions: Captions) -> list[_Mention]:
        found = []
        targets, lengths = captions.targets.tolist(), captions.keep.sum(-1).tolist()
        for row, record in enumerate(captions.records):
            if record.boxes:
                for column, length in enumerate(lengths[row]):
                    words = tuple(targets[row][column][:length])
                    found += [_Mention((row, column, at), boxes) for at, boxes in self._read(record, words)]
        return found

    def _read(self, record: CaptionRecord, words: tuple[int, ...]) -> list[tuple[int, tuple[NamedBox, ...]]]:
        """The object words of a caption that mean a box; captions come again each epoch."""
        key = record.image_id, words
        if key not in self._known:
            spelled = [self.vocabulary.words[word] for word in words if word != END]
            mentions = object_mentions(spelled, record.boxes, self.names, self.attributes)
            self._known[key] = [(at, boxes) for at, boxes in mentions if boxes]
        return self._known[key]


def share_inside(rectangles: Float[Tensor, "N R 4"], boxes: Float[Tensor, "N K 4"]) -> Float[Tensor, "N R"]:
    """How much of each rectangle lies in that of the K boxes which has most of it, in 0..1; 0 for empty rectangles."""
    rectangles, boxes = rectangles.unsqueeze(2), boxes.unsqueeze(1)  # [N R 1 4], [N 1 K 4]
    low = torch.maximum(rectangles[..., :2], boxes[..., :2])
    high = torch.minimum(rectangles[..., 2:], boxes[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)  # [N R K]
    area = (rectangles[..., 2:] - rectangles[..., :2]).prod(-1)  # [N R 1]
    return (common / area.clamp(min=torch.finfo(area.dtype).tiny)).amax(-1)


def _corners(mentions: Sequence[_Mention]) -> Float[Tensor, "N K 4"]:
    """The boxes of each mention, filled up with empty ones."""
    most = max((len(each.boxes) for each in mentions), default=1)
    corners = torch.zeros(len(mentions), most, 4)
    for row, each in enumerate(mentions):
        corners[row, : len(each.boxes)] = torch.tensor([box.corners for box in each.boxes])
    return corners
