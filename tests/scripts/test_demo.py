from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.scripts.conftest import SCRIPTS, Experiment, Run


@pytest.mark.slow
def test_the_demo_trains_both_tasks_and_writes_a_page_with_scores_and_examples(
    captioner: Experiment,
    answerer: Experiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    demo: dict[str, Any] = runpy.run_path(str(SCRIPTS / "demo.py"), run_name="demo")
    folder = tmp_path / "demo"
    long_enough_to_name_things = {
        "trainer.max_epochs": 8,
        "trainer.limit_train_batches": 1.0,
        "model.init_args.optimisation.learning_rate": 0.01,
        "model.init_args.search.longest": 12,
    }
    longer = [f"--{key}={value}" for key, value in long_enough_to_name_things.items()]
    vqa = ["--config", str(answerer.config), f"--model.init_args.encoder_weights={folder}/captioning/best.ckpt"]
    blind = str(SCRIPTS.parent / "configs" / "vqa" / "question_only.yaml")
    settings = {  # the demo, on tiny scenes
        "FOLDER": folder,
        "CAPTIONING": ["--config", str(captioner.config), *longer],
        "VQA": vqa,
        "QUESTION_ONLY": [*vqa, "--config", blind],
        "SHOWN": 2,
    }
    main = demo["main"]
    for name, value in settings.items():
        assert name in main.__globals__
        monkeypatch.setitem(main.__globals__, name, value)
    monkeypatch.setattr("sys.argv", ["demo.py"])
    main()
    printed = capsys.readouterr().out
    page = (folder / "index.html").read_text(encoding="utf-8")
    for words in ("CIDEr-D", "Named pairs", "Pointing game", "question only"):
        assert words in printed
        assert words in page
    assert page.count("data:image") >= 4
    assert f"now open {folder / 'index.html'}" in printed


@pytest.mark.parametrize(
    "script", ["answer", "calibrate", "caption", "compare", "demo", "draw_scenes", "evaluate", "inspect_answers"]
)
def test_help_is_short_and_does_nothing(run: Run, script: str) -> None:
    outcome = run(script, "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert len(outcome.out.splitlines()) < 60
    assert outcome.out.startswith(f"usage: {script}.py")


def test_an_option_that_the_demo_does_not_have_starts_nothing(run: Run) -> None:
    assert "unrecognized arguments: --fast" in run("demo", "--fast").fault
