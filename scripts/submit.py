"""Pack captions for the COCO caption server, which refuses a zip whose two results files lack one image:

    python scripts/submit.py --algorithm mine --val2014 val.json annotations/captions_val2014.json \\
        --test2014 test.json annotations/image_info_test2014.json --out mine.zip
"""

from __future__ import annotations

from pathlib import Path

from captioning.results import SERVER_SETS, read_captions, read_image_ids, write_submission
from common.commands import Parser
from common.errors import run_script


def main() -> None:
    """Check both sets, write the two files and the zip."""
    parser = Parser(__doc__)
    parser.add_argument("--algorithm", required=True, metavar="NAME", help="letters, digits and hyphens")
    for name in SERVER_SETS:
        parser.add_argument(
            f"--{name}",
            nargs=2,
            required=True,
            metavar=("RESULTS", "IMAGES"),
            help="a results file, and the COCO file that lists the images",
        )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the zip; its two files go beside it")
    options = parser.parse_args()
    given = {name: getattr(options, name) for name in SERVER_SETS}
    captions = {name: read_captions(results) for name, (results, _) in given.items()}
    expected = {name: read_image_ids(images) for name, (_, images) in given.items()}
    write_submission(options.out, options.algorithm, captions, expected)
    print(
        f"written to {options.out}: " + ", ".join(f"{len(captions[name])} captions of {name}" for name in SERVER_SETS)
    )


if __name__ == "__main__":
    run_script(main)
