"""Scores of a captioner on a data set: words against references, and, where boxes are known, looks against places."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tqdm import tqdm

from captioning.data import CaptionBatch
from captioning.ensemble import CaptioningEnsemble
from captioning.module import CaptioningModule
from captioning.scoring import Scoring
from common.data.images import image_size
from common.data.records import CaptionRecord, Prediction
from common.data.scenes import named_pairs
from common.explain.grounding import PointingGame, object_mentions
from common.search import Draws, Search
from common.training.sharing import is_first


def caption_all(
    module: CaptioningModule, loader: Iterable[CaptionBatch], search: Search | Draws | None = None
) -> dict[int | str, Prediction]:
    """A caption for each picture of a loader, by image id."""
    module.eval()
    return caption_together(CaptioningEnsemble([module]), [loader], search)


def caption_together(
    ensemble: CaptioningEnsemble, loaders: Sequence[Iterable[CaptionBatch]], search: Search | Draws | None = None
) -> dict[int | str, Prediction]:
    """The same by several captioners, each with a loader of its own of the same pictures in the same order."""
    predictions: dict[int | str, Prediction] = {}
    progress = tqdm(loaders[0], desc="captions", unit="batch", disable=not is_first())
    for batches in zip(progress, *loaders[1:], strict=True):
        found = ensemble.caption([batch.visual.to(ensemble.device) for batch in batches], search)
        predictions.update({record.image_id: each for record, each in zip(batches[0].records, found, strict=True)})
    return predictions


def score(
    records: Sequence[CaptionRecord], predictions: Mapping[int | str, Prediction], scoring: Scoring = Scoring()
) -> dict[str, float]:
    """Every measure that the records allow, in percent (CIDEr-D times 100), by name.

    Where records are of types, as NoCaps' are of domains, the captions of each are scored by themselves as well
    ("CIDEr-D/near-domain"), as a data set of their own.
    """
    scores = _score_texts(records, predictions, scoring)
    for group in sorted({group for record in records for group in record.types}):
        members = [record for record in records if group in record.types]
        scores |= {f"{name}/{group}": value for name, value in _score_texts(members, predictions, scoring).items()}
    if any(record.boxes for record in records):
        scores |= pair_agreement(records, predictions)
        if all("caption" in predictions[record.image_id].maps for record in records):
            scores |= grounding(records, predictions)
    return scores


def _score_texts(
    records: Sequence[CaptionRecord], predictions: Mapping[int | str, Prediction], scoring: Scoring
) -> dict[str, float]:
    measures = scoring.measure(
        {record.image_id: predictions[record.image_id].text for record in records},
        {record.image_id: record.captions for record in records},
    )
    return {name: measure.value for name, measure in measures.items()}


def pair_agreement(records: Sequence[CaptionRecord], predictions: Mapping[int | str, Prediction]) -> dict[str, float]:
    """The share of the (colour, shape) pairs that captions name which the picture has; 0 if they name none."""
    true = named = 0
    for record in records:
        for colour, shape in named_pairs(predictions[record.image_id].text.split()):
            named += 1
            true += any(box.name == shape and colour in box.attributes for box in record.boxes)
    return {"named pairs in the picture": 100 * true / max(named, 1)}


def grounding(records: Sequence[CaptionRecord], predictions: Mapping[int | str, Prediction]) -> dict[str, float]:
    """The pointing game over the object words of the captions, with its baselines (see `PointingGame`).

    Words that misname what is there have no right place, and are left out: `pair_agreement` counts them.
    """
    names = {box.name for record in records for box in record.boxes}
    attributes = {attribute for record in records for box in record.boxes for attribute in box.attributes}
    game = PointingGame()
    for record in records:
        prediction = predictions[record.image_id]
        attention = prediction.maps["caption"]
        size = image_size(record.image)
        for position, boxes in object_mentions(prediction.text.split(), record.boxes, names, attributes):
            if boxes:
                game.add(attention.weights[position], attention.key_layout, boxes, size)  # type: ignore[arg-type]
    return game.report()
