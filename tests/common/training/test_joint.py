"""Two tasks on one image encoder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from captioning.module import CaptioningModule
from common.encoders.weights import create_backbone
from common.errors import CheckpointError, ConfigError
from common.training.checkpoints import build_encoder, load_module, read_checkpoint, start_from
from common.training.joint import JointData, JointModule
from common.training.optimisation import Optimisation
from common.training.parts import Part
from tests.captioning import recipes as captioning
from tests.vqa import recipes as vqa
from vqa.module import VQAModule

ENCODER: Part = {**captioning.GRID, "init_args": {**captioning.GRID["init_args"], "train_from": 0}}
CAPTIONER: Part = {
    "class_path": "captioning.module.CaptioningModule",
    "init_args": {
        "decoder": captioning.DECODER,  # type: ignore[dict-item]
        "attention": captioning.SOFT,  # type: ignore[dict-item]
        "objectives": [captioning.CROSS_ENTROPY],
        "search": {"beam": 2, "longest": 6},
    },
}
ANSWERER: Part = {
    "class_path": "vqa.module.VQAModule",
    "init_args": {  # type: ignore[typeddict-item]
        "text": vqa.LEVELS,
        "model": vqa.JOINED,
        "co_attention": vqa.PARALLEL,
        "objective": vqa.SOFT_LABELS,
    },
}
TASKS = {"captioning": CAPTIONER, "vqa": ANSWERER}


def data(scenes: str) -> JointData:
    def source(kind: str, split: str) -> dict[str, Any]:
        return {
            "class_path": f"common.data.scenes.{kind}",
            "init_args": {"level": "tiny", "split": split, "folder": scenes},
        }

    def recipe(path: str, kind: str, **settings: Any) -> Part:
        splits: dict[str, Any] = {split: source(kind, split) for split in ("train", "val", "test")}
        loading = {"batch_size": 8, "in_memory": True}
        return {"class_path": path, "init_args": {**splits, "loading": loading, **settings}}

    return JointData(
        {
            "captioning": recipe("captioning.data.CaptioningData", "SceneCaptions", minimum_count=1),
            "vqa": recipe("vqa.data.VQAData", "SceneQuestions"),
        }
    )


def joint(source: JointData, **settings: Any) -> JointModule:
    torch.manual_seed(0)
    optimisation = Optimisation(1e-2, schedule="constant")
    return JointModule(ENCODER, TASKS, source.lexicons, optimisation=optimisation, **settings)


def test_the_shared_encoder_is_made_once(scenes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made, make = [], create_backbone
    monkeypatch.setattr("common.encoders.image.create_backbone", lambda *given: made.append(given) or make(*given))
    module = joint(data(scenes))
    assert len(made) == 1
    assert all(task.encoder is module.encoder for task in module.tasks.values())


@pytest.fixture(scope="module")
def trained(scenes: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Trainer, JointModule, Path]:
    source = data(scenes)
    module = joint(source, weights={"vqa": 2.0})
    folder = tmp_path_factory.mktemp("joint")
    trainer = Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, log_every_n_steps=1,
    )  # fmt: skip
    trainer.fit(module, datamodule=source)
    trainer.save_checkpoint(folder / "joint.ckpt")
    return trainer, module, folder / "joint.ckpt"


def test_every_task_logs_under_its_name_and_the_loss_is_the_weighted_sum(
    trained: tuple[Trainer, JointModule, Path],
) -> None:
    values = trained[0].callback_metrics
    expected = values["captioning/train/loss"] + 2 * values["vqa/train/loss"]
    torch.testing.assert_close(values["train/loss"], expected)
    assert {"captioning/val/CIDEr-D", "captioning/val/cross_entropy", "vqa/val/accuracy"} <= values.keys()
    assert trained[1].metric == "captioning/val/CIDEr-D"


def test_both_tasks_train_the_same_encoder(trained: tuple[Trainer, JointModule, Path]) -> None:
    module = trained[1]
    encoders = {id(module.encoder), *(id(each.encoder) for each in module.tasks.values())}
    assert len(encoders) == 1
    names = [name for name, _ in module.named_parameters() if "backbone" in name]
    assert all(name.startswith("encoder.") for name in names), "each weight is trained once"


def test_one_checkpoint_captions_and_answers(trained: tuple[Trainer, JointModule, Path], scenes: str) -> None:
    _, module, path = trained
    source = data(scenes)
    captioner, answerer = load_module(path, CaptioningModule), load_module(path, VQAModule)
    module.eval().attach(source, ("val",))
    for own, alone, name in (
        (module.tasks["captioning"], captioner, "captioning"),
        (module.tasks["vqa"], answerer, "vqa"),
    ):
        alone.attach(source.tasks[name], ("val",))
        batch = next(iter(source.tasks[name].val_dataloader()))
        ours, theirs = own(batch), alone(batch)  # type: ignore[operator]
        if name == "vqa":
            ours, theirs = {"logits": ours.logits}, {"logits": theirs.logits}
        for key in ours:
            torch.testing.assert_close(ours[key], theirs[key])
    assert captioner.search == module.tasks["captioning"].search


def test_a_task_alone_takes_over_the_encoder(trained: tuple[Trainer, JointModule, Path]) -> None:
    taken = build_encoder(ENCODER, str(trained[2]))
    for ours, theirs in zip(trained[1].encoder.state_dict().values(), taken.state_dict().values(), strict=True):
        if isinstance(ours, torch.Tensor):
            torch.testing.assert_close(ours, theirs)


def test_a_task_alone_begins_with_the_weights_it_has_there(
    trained: tuple[Trainer, JointModule, Path], scenes: str
) -> None:
    captioner = captioning.module(captioning.data(scenes).vocabulary, encoder=ENCODER)
    start_from(trained[2], read_checkpoint(trained[2]), captioner)
    ours, theirs = captioner.decoder.state_dict(), trained[1].tasks["captioning"].decoder.state_dict()  # type: ignore[union-attr]
    torch.testing.assert_close(ours, theirs)


def test_joint_training_begins_with_the_networks_of_another_but_not_with_its_objectives(
    trained: tuple[Trainer, JointModule, Path], scenes: str
) -> None:
    module = joint(data(scenes))
    assert module.networks == ("encoder", "tasks.captioning.decoder", "tasks.vqa.model")
    start_from(trained[2], read_checkpoint(trained[2]), module)
    torch.testing.assert_close(module.tasks["vqa"].model.state_dict(), trained[1].tasks["vqa"].model.state_dict())  # type: ignore[union-attr]


def test_examples_of_both_tasks_are_shown(trained: tuple[Trainer, JointModule, Path], scenes: str) -> None:
    module, source = trained[1], data(scenes)
    module.eval().attach(source, ("val",))
    maps = [set(example.prediction.maps) for example in module.show_examples(source)]
    assert {"caption"} in maps
    assert {"image", "question"} in maps


def test_the_shorter_split_begins_anew_within_an_epoch(scenes: str) -> None:
    source = data(scenes)
    joint(source).attach(source, ("train",))
    source.tasks["vqa"]._records["train"] = source.tasks["vqa"].records("train")[:8]
    batches = list(source.train_dataloader())
    assert len(batches) == 6
    assert all(batch.keys() == TASKS.keys() for batch, *_ in batches)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tasks": {"vqa": ANSWERER}}, r"joint training is for two tasks or more, not 1"),
        (
            {"tasks": {"captioning": ANSWERER, "vqa": CAPTIONER}},
            r"'captioning' is made of VQAModule, which is for 'vqa'",
        ),
        ({"weights": {"vqaa": 1.0}}, r"there is no task 'vqaa' in model.tasks; did you mean 'vqa'\?"),
        ({"weights": {"vqa": -1.0}}, r"weights.vqa must be a positive number, not -1.0"),
        ({"lexicons": {"captioning": {"vocabulary": []}}}, r"the task 'vqa' has no data: name them in data.tasks"),
    ],
)
def test_tasks_that_do_not_go_together_are_refused(change: dict[str, Any], message: str) -> None:
    lexicon = {"vocabulary": ["<pad>", "<start>", "<end>", "<unk>", "a"], "answers": ["a", "b"]}
    lexicons = {"captioning": lexicon, "vqa": lexicon}
    settings: dict[str, Any] = {"encoder": ENCODER, "tasks": TASKS, "lexicons": lexicons} | change
    if "tasks" in change:
        settings["lexicons"] = dict.fromkeys(change["tasks"], lexicon)
    with pytest.raises(ConfigError, match=message):
        JointModule(**settings)


def test_a_checkpoint_of_several_tasks_without_the_one_wanted_is_refused(
    trained: tuple[Trainer, JointModule, Path], tmp_path: Path
) -> None:
    content = torch.load(trained[2], weights_only=True)
    content["hyper_parameters"]["tasks"].pop("vqa")
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="is a checkpoint for joint, not for vqa"):
        load_module(tmp_path / "other.ckpt", VQAModule)


def test_what_memorises_is_shown_the_questions_of_its_own_task(scenes: str, tmp_path: Path) -> None:
    source = data(scenes)
    remembers = {**ANSWERER["init_args"], "model": {"class_path": "vqa.models.KernelRidge"}, "co_attention": None}
    tasks: dict[str, Any] = TASKS | {"vqa": {**ANSWERER, "init_args": remembers}}
    module = JointModule(captioning.GRID, tasks, source.lexicons)
    fit_briefly(module, source, tmp_path)
    owner = module.get_submodule("tasks.vqa.model").get_buffer("owner")
    assert len(owner) == len(source.tasks["vqa"].records("train"))


def fit_briefly(module: JointModule, source: JointData, folder: Path) -> None:
    """Begin a training, and end it before its first batch."""
    Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=folder, limit_train_batches=0, limit_val_batches=0,
    ).fit(module, datamodule=source)  # fmt: skip
