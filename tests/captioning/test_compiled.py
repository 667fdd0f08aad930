from __future__ import annotations

import subprocess
import sys

from tests.captioning.compiled import COMPILED


def test_decoders_are_compiled_without_a_break_and_a_whole_captioner_exported() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.captioning.compiled"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [*(f"compiled {name}" for name in COMPILED), "exported"]
