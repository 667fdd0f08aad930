"""Make a VQA model's confidences as likely as they say: `scripts/calibrate.py --checkpoint best.ckpt --config x.yaml`.

One temperature is fitted on the validation split (the `data` section of the config files and options, as in training)
and written into a copy of the checkpoint, which scripts/answer.py and scripts/evaluate.py take as any other. Answers
stay the same; only how sure they are changes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

from common.commands import Parser
from common.errors import CheckpointError, run_script
from common.files import writable_file
from common.training.checkpoints import WholeFileIO, load_module, read_checkpoint
from common.training.cli import data_section
from common.training.parts import build
from vqa.data import VQAData
from vqa.evaluation import KnownAnswers, collect_logits
from vqa.heads import ClassHead
from vqa.metrics import calibration_error, equal_width_bins
from vqa.module import VQAModule
from vqa.objectives import AnswerObjective
from vqa.temperature import fit_temperature, with_temperature


def parse() -> tuple[argparse.Namespace, Any]:
    """The command line: our own options, and the data section of the experiment."""
    parser = Parser(__doc__)
    parser.usage = "%(prog)s --checkpoint FILE --config FILE [--config FILE ...] [--data.KEY VALUE ...] [options]"
    parser.add_argument("--checkpoint", required=True, help="a VQA model, as written by scripts/train.py")
    parser.add_argument("--split", choices=["train", "val", "test"], default="val", help="to fit on; default val")
    parser.add_argument("--out", type=Path, help="default: NAME-calibrated.ckpt beside the checkpoint")
    parser.add_device()
    options, rest = parser.parse_known_args()
    data = data_section(rest, options)
    path = Path(options.checkpoint)
    options.out = options.out or path.with_name(f"{path.stem}-calibrated.ckpt")
    return options, data


def error_at(temperature: float, found: KnownAnswers, objective: AnswerObjective) -> float:
    """The expected calibration error in percent."""
    best = objective.probabilities(found.logits / temperature).max(-1)
    scores = found.scores.gather(1, best.indices[:, None]).squeeze(1)
    return 100 * calibration_error(equal_width_bins(best.values.clamp(max=1).double().numpy(), scores.double().numpy()))


def main() -> None:
    """Fit, tell what it changes, write the checkpoint."""
    options, data_part = parse()
    module = load_module(options.checkpoint, VQAModule).to(options.device)
    if not isinstance(module.head, ClassHead):
        raise CheckpointError(f"{options.checkpoint} chooses from what is on offer; only known answers are calibrated")
    writable_file(options.out)
    data = build(data_part, VQAData)
    module.attach(data, (options.split,))
    found, objective = collect_logits(module, data.in_order(options.split)), module.head.objective
    temperature = fit_temperature(
        found.logits, lambda logits: torch.stack([*objective(logits, found.scores, found.votes).values()]).sum()
    )
    before, after = (error_at(each, found, objective) for each in (module.temperature, temperature))
    WholeFileIO().save_checkpoint(with_temperature(read_checkpoint(options.checkpoint), temperature), options.out)
    print(f"temperature {temperature:.3f}, from {len(found.logits):,} questions of the {options.split} split")
    print(f"expected calibration error {before:.2f} before, {after:.2f} after")
    print(f"written to {options.out}")


if __name__ == "__main__":
    run_script(main)
