"""Several captioners that write together, as the scripts use them; one alone is an ensemble of one."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from captioning.module import CaptioningModule
from captioning.predictions import Teller
from common.attention import Boxes, Grid, VisualFeatures
from common.data.batches import ImageBatch
from common.data.records import Prediction
from common.errors import CheckpointError
from common.search import Draws, Search, find
from common.search.ensemble import Ensemble, Views
from common.training.checkpoints import load_module


class CaptioningEnsemble:
    """Words by the mean of the members' probabilities; maps by that of their weights, where regions agree.

    Members may differ in all but their vocabulary.
    """

    def __init__(self, members: Sequence[CaptioningModule]) -> None:
        self.members = list(members)
        self.words = members[0].words
        self.search = members[0].search
        self.device = members[0].device
        self.part_axis = members[0].decoder.part_axis if len(members) == 1 else None
        kinds = dict.fromkeys(member.decoder.kind for member in members)
        self._tell = Teller(self.words, f"mean of {' and '.join(kinds)}", None)
        self._decoder = Ensemble([member.decoder for member in members])

    @torch.no_grad()
    def caption(
        self, visuals: Sequence[ImageBatch | VisualFeatures], search: Search | Draws | None = None
    ) -> list[Prediction]:
        """Captions of pictures, each member given them as its encoder wants them."""
        if len(self.members) == 1:
            return self.members[0].caption(visuals[0], search)
        views = tuple(member.features(visual) for member, visual in zip(self.members, visuals, strict=True))
        found = find(self._decoder, Views(views), search or self.search, self.words)
        layouts = [view.layout.to("cpu") for view in views]
        shared = all(_same(layout, layouts[0]) for layout in layouts)
        return self._tell(found, layouts[0] if shared else None)


def load_ensemble(paths: Sequence[str], device: torch.device) -> CaptioningEnsemble:
    """The captioners of several checkpoints.

    Raises:
        CheckpointError: one cannot be used, or they know different words.
    """
    members = [load_module(path, CaptioningModule).to(device) for path in paths]
    for path, member in zip(paths, members, strict=True):
        if member.words != members[0].words:
            raise CheckpointError(
                f"{path} knows other words than {paths[0]}: captioners write together in one vocabulary"
            )
    return CaptioningEnsemble(members)


def _same(one: Grid | Boxes, other: Grid | Boxes) -> bool:
    """Whether two layouts put the regions in the same places."""
    if isinstance(one, Grid) and isinstance(other, Grid):
        return (one.height, one.width) == (other.height, other.width) and torch.equal(one.view, other.view)
    return isinstance(one, Boxes) and isinstance(other, Boxes) and torch.equal(one.corners, other.corners)
