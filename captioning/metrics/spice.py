"""SPICE (Anderson et al. 2016) by its Java program, where the parser it needs has been put beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from jaxtyping import Float

from captioning.metrics.java import SPICE_JAR, SPICE_PARTS, allowed_seconds, failed, located, run, why_not
from common.errors import ConfigError

SECONDS_EACH = 5.0  # for parsing an image's captions, many times what it takes


def why_no_spice() -> str | None:
    """What SPICE lacks on this machine, in a few words, or None when it can run. Nothing is ever downloaded."""
    reason = why_not(SPICE_JAR, *SPICE_PARTS)
    if reason and reason.endswith("missing"):
        return f"{reason} (from Stanford CoreNLP 3.6.0, https://nlp.stanford.edu/software)"
    return reason


def spice(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> Float[np.ndarray, " N"]:
    """SPICE in 0..1 of each image, the F-measure of the propositions that its captions are parsed into.

    The corpus' score is the mean. Raises ConfigError when its program or parser is missing, fails or gets stuck.
    """
    if reason := why_no_spice():
        raise ConfigError(f"SPICE cannot be computed: {reason}")
    images = [
        {"image_id": number, "test": " ".join(hypothesis), "refs": [" ".join(tokens) for tokens in several]}
        for number, (hypothesis, several) in enumerate(zip(hypotheses, references, strict=True))
    ]
    jar = located(SPICE_JAR)
    with TemporaryDirectory() as folder:
        given, made = Path(folder, "captions.json"), Path(folder, "scores.json")
        given.write_text(json.dumps(images), encoding="utf-8")
        seconds = allowed_seconds(0) + SECONDS_EACH * len(images)
        run("SPICE", ["-Xmx8G", "-jar", jar, given, "-out", made, "-silent"], "", seconds, jar.parent)
        try:
            scored = json.loads(made.read_text(encoding="utf-8"))
            by_image = {entry["image_id"]: float(entry["scores"]["All"]["f"]) for entry in scored}
            return np.array([by_image[number] for number in range(len(images))])
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise failed("SPICE", f"its scores cannot be read: {error!r}") from error
