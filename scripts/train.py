"""Train a captioner or a VQA model.

    python scripts/train.py fit --config configs/captioning/scenes.yaml --folder runs/mine --trainer.max_epochs 3

Several `--config` files and options, written as --KEY VALUE, are put together from left to right.

    --print_config     at the end: show all settings of the experiment, and train nothing
    --ckpt_path FILE   go on with an interrupted run, from the last.ckpt in its folder
    fit --help         what every option of the trainer means
"""

from __future__ import annotations

import sys

from common.errors import run_script
from common.training.cli import TrainingCLI


def main() -> None:
    """Train as the command line says."""
    arguments = sys.argv[1:]
    if arguments in (["-h"], ["--help"]):
        print(__doc__)
    else:
        TrainingCLI(arguments)


if __name__ == "__main__":
    run_script(main)
