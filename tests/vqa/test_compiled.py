from __future__ import annotations

import subprocess
import sys

from tests.vqa.compiled import MODELS


def test_models_are_compiled_without_a_break_and_exported_whole() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.vqa.compiled"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines() == [f"{how} {name}" for name in MODELS for how in ("compiled", "exported")]
