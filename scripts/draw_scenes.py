"""Draw the built-in dataset: `python scripts/draw_scenes.py --level demo --out data/scenes/demo --sheet sheet.png`."""

from __future__ import annotations

from pathlib import Path

from common.commands import Parser, seed
from common.data.scenes import LEVELS, write_scenes
from common.data.scenes.sheet import contact_sheet
from common.errors import run_script
from common.files import replacing


def main() -> None:
    """Draw what the command line says."""
    parser = Parser(__doc__)
    parser.add_argument("--level", choices=sorted(LEVELS), default="demo", help="how hard and how many the scenes are")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to, new or empty")
    parser.add_argument("--seed", type=seed, default=0)
    parser.add_argument("--sheet", type=Path, help="also write a PNG of the first scenes with their texts")
    options = parser.parse_args()
    level = LEVELS[options.level]
    write_scenes(options.out, level, options.seed, progress=True)
    if options.sheet:
        with replacing(options.sheet) as draft:
            contact_sheet(options.out, "val").save(draft, format="png")
    print(f"{options.out}: {level.train} train, {level.val} val, {level.test} test scenes of level {options.level}")


if __name__ == "__main__":
    run_script(main)
