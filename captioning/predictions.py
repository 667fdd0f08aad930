"""What a search has found, as it is shown, scored and drawn."""

from __future__ import annotations

from collections.abc import Sequence

from common.attention import AttentionMap, Boxes, Grid
from common.data.records import Prediction
from common.data.vocabulary import Vocabulary
from common.search import Hypothesis


class Teller:
    """Makes predictions of hypotheses.

    kind, part_axis: of the attention, as the decoder names them. part_axis None: its parts are not told.
    """

    def __init__(self, words: Vocabulary, kind: str, part_axis: str | None) -> None:
        self.words = words
        self.kind = kind
        self.part_axis = part_axis

    def __call__(self, found: Sequence[Sequence[Hypothesis]], layout: Grid | Boxes | None) -> list[Prediction]:
        """The best caption of each picture, the others as its alternatives; no maps without a layout [B ...]."""
        places = [layout and layout.select(index) for index in range(len(found))]
        return [self._best(hypotheses, place) for hypotheses, place in zip(found, places, strict=True)]

    def _best(self, hypotheses: Sequence[Hypothesis], layout: Grid | Boxes | None) -> Prediction:
        best, *others = hypotheses
        return self._prediction(best, layout, tuple(self._prediction(other, layout) for other in others))

    def _prediction(
        self, found: Hypothesis, layout: Grid | Boxes | None, others: tuple[Prediction, ...] = ()
    ) -> Prediction:
        words = tuple(self.words.decode(found.tokens))
        maps = {}
        if layout is not None:
            weights = found.weights[: len(words)].float()
            maps["caption"] = AttentionMap(weights, ("word", "region"), layout, self.kind, words)
        if layout is not None and self.part_axis is not None:
            parts = found.parts[: len(words)].float().transpose(0, 1)  # [P N R]
            axes = (self.part_axis, "word", "region")
            maps["caption, parts"] = AttentionMap(parts, axes, layout, self.kind, words)
        return Prediction(" ".join(words), found.score, others, tuple(found.token_log_probs.tolist()), maps)
