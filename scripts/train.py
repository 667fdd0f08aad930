"""Train a captioner or a question answerer.

    python scripts/train.py fit --config configs/captioning/scenes.yaml --folder runs/mine --trainer.max_epochs 3

Several `--config` files and options are put together from left to right.
"""

from __future__ import annotations

import sys

from common.errors import run_script
from common.training.cli import TrainingCLI


def main() -> None:
    """Train as the command line says."""
    TrainingCLI(sys.argv[1:])


if __name__ == "__main__":
    run_script(main)
