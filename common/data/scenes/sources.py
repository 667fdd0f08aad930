"""The scenes as dataset readers: drawn when they are first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from common.data.readers import CaptionSource, CocoCaptions, VQAQuestions, VQASource
from common.data.records import CaptionRecord, VQARecord
from common.data.scenes.levels import LEVELS
from common.data.scenes.write import write_scenes

LevelName = Literal["tiny", "demo", "full"]
Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class SceneCaptions(CaptionSource):
    """Captioned scenes of a level, in a folder of its own below `folder`."""

    level: LevelName
    split: Split
    folder: str = "data/scenes"
    seed: int = 0

    def read(self) -> list[CaptionRecord]:
        """The records of the split; the scenes are drawn first where they are not there yet."""
        root = _drawn(self.folder, self.level, self.seed)
        return CocoCaptions(str(root / f"captions_{self.split}.json"), str(root / "images" / self.split)).read()


@dataclass(frozen=True)
class SceneQuestions(VQASource):
    """Questions about the scenes of a level, in a folder of its own below `folder`."""

    level: LevelName
    split: Split
    folder: str = "data/scenes"
    seed: int = 0

    def read(self) -> list[VQARecord]:
        """The records of the split; the scenes are drawn first where they are not there yet."""
        root = _drawn(self.folder, self.level, self.seed)
        questions, annotations = (str(root / f"{kind}_{self.split}.json") for kind in ("questions", "annotations"))
        return VQAQuestions(questions, str(root / "images" / self.split), annotations).read()


def _drawn(folder: str, level: LevelName, seed: int) -> Path:
    root = Path(folder) / level
    write_scenes(root, LEVELS[level], seed, progress=True)
    return root
