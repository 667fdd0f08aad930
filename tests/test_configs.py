"""Every experiment that comes with the project can be composed, and its model be put together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml

from captioning.data import CaptioningData
from captioning.module import CaptioningModule
from common.data.readers import CaptionSource, VQASource
from common.encoders import weights_follow
from common.errors import ConfigError
from common.training.cli import OPTIONS, TrainingCLI
from common.training.comparison import Kind, read_kinds
from common.training.composition import check_names, compose, read_config
from common.training.joint import JointModule
from common.training.parts import build
from common.training.task import TaskModule
from vqa.data import VQAData
from vqa.module import VQAModule

CONFIGS = Path(__file__).parents[1] / "configs"
OVERLAYS = {  # configs that go after another one, and the experiments that they go after
    "captioning/aoa": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/adaptive": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/fast": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/flickr8k_288": ["captioning/flickr8k"],
    "captioning/hard": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/local": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/meshed": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/scheduled_sampling": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/self_critical": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/self_critical_bleu": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/self_critical_meteor": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/scenes_adaptive": ["captioning/scenes"],
    "captioning/straight_through": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/supervised_attention": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/sca": ["captioning/flickr8k"],
    "captioning/regions": ["captioning/flickr8k"],
    "captioning/trained_encoder": ["captioning/flickr8k"],
    "captioning/transformer": ["captioning/flickr8k", "captioning/scenes_demo"],
    "captioning/updown": ["captioning/flickr8k", "captioning/scenes_demo"],
    "vqa/bilinear": ["vqa/daquar"],
    "vqa/bottom_up": ["vqa/scenes_demo"],
    "vqa/fact_memory": ["vqa/scenes_demo"],
    "vqa/daquar_whole": ["vqa/daquar"],
    "vqa/generated": ["vqa/daquar"],
    "vqa/mcan": ["vqa/scenes"],
    "vqa/mean_pooled": ["vqa/daquar"],
    "vqa/multiple_choice": ["vqa/scenes_demo"],
    "vqa/question_only": ["vqa/daquar", "vqa/scenes_demo"],
    "vqa/scenes_boxes": ["vqa/scenes"],
    "vqa/scenes_grid": ["vqa/scenes"],
    "vqa/show_ask_attend_answer": ["vqa/scenes"],
    "vqa/stacked_attention": ["vqa/daquar"],
}
COMPARISONS = {  # and the base experiments, of one file or two
    "compare/captioning": ["captioning/scenes_demo"],
    "compare/daquar": ["vqa/daquar"],
    "compare/scenes": ["vqa/scenes", "vqa/scenes_boxes"],
    "compare/vqa": ["vqa/scenes_demo"],
}
FILES = sorted(str(path.relative_to(CONFIGS).with_suffix("")) for path in CONFIGS.rglob("*.yaml"))
DATA_SETS = [name for name in FILES if name.startswith("data/")]  # go after any experiment of their task
EXPERIMENTS = [(name,) for name in FILES if name not in {**OVERLAYS, **COMPARISONS} and name not in DATA_SETS]
COMBINATIONS = [(base, overlay) for overlay, bases in OVERLAYS.items() for base in bases]
GIVEN = {  # what models take from the data
    CaptioningModule: {"vocabulary": ["<pad>", "<start>", "<end>", "<unk>", "red"]},
    VQAModule: {"vocabulary": ["<pad>", "<start>", "<end>", "<unk>", "red"], "answers": ["yes", "no"]},
}
GIVEN[JointModule] = {"lexicons": {"captioning": GIVEN[CaptioningModule], "vqa": GIVEN[VQAModule]}}
DATA = {"joint": "common.training.joint"}  # where the data modules are that are not their task's own


def kinds(name: str) -> list[Kind]:
    """The kinds of a comparison, merged into its base."""
    return read_kinds(CONFIGS / f"{name}.yaml", compose(files(*COMPARISONS[name])))


def files(*names: str) -> list[str]:
    """Options that put these config files together."""
    return [option for name in names for option in ("--config", str(CONFIGS / f"{name}.yaml"))]


def printed(options: Sequence[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `train.py fit --config ... --print_config` shows."""
    with pytest.raises(SystemExit) as end:
        TrainingCLI(["fit", *options, "--print_config"])
    assert not end.value.code
    config: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
    return config


@pytest.mark.parametrize("names", [*EXPERIMENTS, *COMBINATIONS], ids="+".join)
def test_an_experiment_is_composed_and_its_model_put_together(
    names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    config = printed(files(*names), capsys)
    assert config["folder"] == f"runs/{names[-1]}"
    check(config, names[0].split("/")[0])


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, kind) for name in COMPARISONS for kind in kinds(name)],
    ids=lambda each: each.name if isinstance(each, Kind) else each,
)
def test_a_kind_of_a_comparison_is_composed_and_its_model_put_together(
    name: str, kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [f"--{key}={json.dumps(value)}" for key, value in kind.recipe.items()]
    check(printed([*options, "--folder=runs/any"], capsys), COMPARISONS[name][0].split("/")[0])


def check(config: dict[str, Any], task: str) -> None:
    """See that a model can be made of the settings."""
    assert config["data"]["class_path"].rpartition(".")[0] == DATA.get(task, f"{task}.data")
    settings = config["model"]["init_args"] | {"encoder_weights": None}
    kind: type[TaskModule] = {"captioning": CaptioningModule, "vqa": VQAModule, "joint": JointModule}[task]
    recipes = {name: value for name, value in settings.items() if name not in ("optimisation", "search")}
    with weights_follow():  # none are read
        assert isinstance(kind(**(recipes | GIVEN[kind])), kind)  # names and types of all parts are looked at here


@pytest.mark.parametrize("name", DATA_SETS)
def test_a_data_set_goes_after_an_experiment_and_its_sources_are_put_together(name: str) -> None:
    task = read_config(CONFIGS / f"{name}.yaml")["data"]["class_path"].partition(".")[0]
    base, kind = {"captioning": ("captioning/flickr8k", CaptioningData), "vqa": ("vqa/daquar", VQAData)}[task]
    between = ["data/vqa_v2"] if name == "data/vqa_v2_test" else []
    composed = compose(files(base, *between, name))
    check_names(composed, OPTIONS, {"data": kind})
    data = build(composed["data"], kind)
    assert all(isinstance(source, (CaptionSource, VQASource)) for source in data.sources.values())
    assert data.loading.cache is None  # not the base's, which is of other pictures
    assert composed["model"] == read_config(CONFIGS / f"{base}.yaml")["model"]


def test_every_overlay_and_every_base_is_there() -> None:
    assert {*OVERLAYS, *COMPARISONS, *chain(*COMPARISONS.values())} <= set(FILES)
    assert {name for names in COMBINATIONS for name in names} <= set(FILES)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_alone_is_no_experiment(overlay: str) -> None:
    with pytest.raises(ConfigError, match=r"^(model|data) has no class_path: give --config with an experiment first"):
        TrainingCLI(["fit", "--config", str(CONFIGS / f"{overlay}.yaml")])
