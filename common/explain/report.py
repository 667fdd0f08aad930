"""One HTML page of scores and examples that needs nothing but itself: words and levels paint attention when touched."""

from __future__ import annotations

import base64
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor, stack

from common.attention.maps import AttentionMap, Grid, Words
from common.data.records import Prediction
from common.explain.overlays import map_rows
from common.files import replacing

LONGEST_SIDE = 640  # pixels of an embedded picture
SHOWN_ALTERNATIVES = 4


@dataclass(frozen=True)
class Score:
    """A number to show: its name, the value as it is to be read, and what to compare it with."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Example:
    """A prediction about a picture, with the truth.

    question: None for a caption. references: the captions or answers that people gave.
    correct: None where right or wrong does not apply.
    """

    image: Image.Image
    prediction: Prediction
    question: str | None = None
    references: tuple[str, ...] = ()
    correct: bool | None = None


def write_report(
    path: Path | str,
    title: str,
    introduction: str,
    scores: Mapping[str, Sequence[Score]],
    examples: Mapping[str, Sequence[Example]],
) -> None:
    """Write the page: for each section its scores, then its examples, with all pictures and maps inside the file.

    scores, examples: by the section's heading; sections come in the order of `scores`, then of `examples`.
    Every text is shown as it is; none can become markup. Raises DataError where the file cannot be written.
    """
    sections = [
        {
            "name": name,
            "scores": [vars(score) for score in scores.get(name, ())],
            "examples": [_example(example) for example in examples.get(name, ())],
        }
        for name in dict.fromkeys([*scores, *examples])
    ]
    data = json.dumps({"title": title, "introduction": introduction, "sections": sections}, allow_nan=False)
    template = files("common.explain").joinpath("report.html").read_text(encoding="utf-8")
    head, foot = template.split("{{data}}")
    # "<" escaped: "</script>" or "<!--" in a caption must not end the script element that holds the data
    page = head.replace("{{title}}", html.escape(title)) + data.replace("<", "\\u003c") + foot
    with replacing(Path(path)) as draft:
        draft.write_text(page, encoding="utf-8", errors="replace")  # half a character in the title


def _example(example: Example) -> dict[str, Any]:
    prediction = example.prediction
    shared = {
        "image": _embedded(example.image),
        "width": example.image.width,
        "height": example.image.height,
        "references": example.references,
        "correct": example.correct,
        "text": prediction.text,
    }
    if example.question is None:
        likely = [_share(math.exp(value)) for value in prediction.token_log_probs]
        return shared | {"layers": _layers(prediction.maps.get("caption")), "probabilities": likely}
    candidates = [prediction, *prediction.alternatives[:SHOWN_ALTERNATIVES]]
    return shared | {
        "question": example.question,
        "answers": [{"text": each.text, "share": _share(each.score)} for each in candidates],
        "layers": _layers(prediction.maps.get("image")),
        "words": _words(prediction.maps.get("question")),
    }


def _layers(attention: AttentionMap | None) -> dict[str, Any] | None:
    """The maps over the picture, with the geometry that they lie by."""
    if attention is None or isinstance(attention.key_layout, Words):
        return None
    layout = attention.key_layout
    if isinstance(layout, Grid):
        place: dict[str, Any] = {"height": layout.height, "width": layout.width, "view": layout.view.tolist()}
    else:
        place = {"corners": layout.corners.tolist()}
    return place | _rows(attention)


def _words(attention: AttentionMap | None) -> dict[str, Any] | None:
    """The maps over the question's words."""
    if attention is None or not isinstance(attention.key_layout, Words):
        return None
    return {"words": attention.key_layout.labels} | _rows(attention)


def _rows(attention: AttentionMap) -> dict[str, Any]:
    rows = map_rows(attention)
    return {"labels": [label for label, _ in rows], "weights": _packed([row for _, row in rows])}


def _packed(rows: Sequence[Float[Tensor, " K"]]) -> dict[str, Any]:
    """Weights in bytes, each row in 255ths of its greatest: {"bytes": base64 of [Q K], "greatest": [Q]}."""
    if not rows:
        return {"bytes": "", "greatest": []}
    weights = stack(list(rows)).float()
    greatest = weights.amax(-1, keepdim=True)
    levels = (255 * weights / greatest.clamp(min=1e-12)).round().clamp(0, 255).byte()
    return {
        "bytes": base64.b64encode(levels.numpy().tobytes()).decode("ascii"),
        "greatest": [_share(value) for value in greatest.flatten().tolist()],
    }


def _share(value: float) -> float:
    """A number that JSON can hold, in 0..1 and no longer than it needs to be."""
    return round(min(max(value, 0.0), 1.0), 4) if math.isfinite(value) else 0.0


def _embedded(image: Image.Image) -> str:
    """The picture as a data URL, no larger than the page shows it, as PNG or JPEG, whichever is shorter."""
    picture = image.convert("RGB")
    picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
    encodings = []
    for kind in ("png", "jpeg"):
        stream = io.BytesIO()
        picture.save(stream, kind, quality=88)
        encodings.append(f"data:image/{kind};base64," + base64.b64encode(stream.getvalue()).decode("ascii"))
    return min(encodings, key=len)
