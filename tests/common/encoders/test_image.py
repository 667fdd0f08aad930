from __future__ import annotations

import io
from pathlib import Path

import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from common.attention import Grid, VisualFeatures
from common.data.batches import ImageBatch
from common.encoders import ImageEncoder
from common.encoders.image import resize_map
from common.errors import CheckpointError, ConfigError

MODELS = ["test_resnet", "test_vit", "test_convnext", "test_efficientnet", "mobilenetv3_small_050"]
WHOLE = torch.tensor([0.0, 0.0, 1.0, 1.0])
SIZE = (64, 64)


def _encoder(name: str = "test_resnet", **arguments: object) -> ImageEncoder:
    return ImageEncoder(name, **({"image_size": SIZE} | arguments))  # type: ignore[arg-type]


def _pictures(count: int = 2, size: tuple[int, int] = SIZE, seed: int = 0) -> ImageBatch:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, *size), generator=generator, dtype=torch.uint8)
    return ImageBatch(pixels, WHOLE.expand(count, 4))


def _grid(features: VisualFeatures) -> Tensor:
    """The map [B D h w] that the regions were laid out from."""
    assert isinstance(features.layout, Grid)
    height, width = features.layout.height, features.layout.width
    return torch.stack(
        [torch.stack([features.values[:, r * width + c] for c in range(width)], -1) for r in range(height)], -2
    )


# The grid


@pytest.mark.parametrize("name", MODELS)
def test_any_model_gives_a_grid_of_regions_as_wide_as_it_says(name: str) -> None:
    encoder, pictures = _encoder(name).eval(), _pictures()
    features = encoder(pictures)
    assert isinstance(features.layout, Grid)
    assert features.values.shape == (2, features.layout.height * features.layout.width, encoder.dim)
    assert features.values.isfinite().all()
    assert features.keep.all()
    torch.testing.assert_close(features.layout.view, pictures.view + encoder.offset.repeat(2))


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(("row", "column"), [(0, 2), (2, 4), (3, 1)])
def test_regions_run_row_by_row(name: str, row: int, column: int) -> None:
    encoder = _encoder(name, stage=0, image_size=(64, 96)).eval()
    pictures = _pictures(1, (64, 96))
    before = encoder(pictures)
    pictures.pixels[:, :, 16 * row : 16 * (row + 1), 16 * column : 16 * (column + 1)] = 255
    change = (_grid(encoder(pictures)) - _grid(before)).abs().sum(1)  # [1 h w]
    cells = nn.functional.adaptive_avg_pool2d(change, (4, 6))[0]  # of 16 pixels each
    assert divmod(int(cells.argmax()), 6) == (row, column)


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext"])
def test_every_stage_equals_timms_own_feature_map(name: str, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    model = timm.create_model(name)
    save_file(model.state_dict(), file)
    reference = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay={"file": str(file)}, features_only=True
    ).eval()
    pictures = _pictures()
    mean, std = (torch.tensor(model.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    maps = reference((pictures.pixels / 255 - mean) / std)
    for stage, (expected, info) in enumerate(zip(maps, model.feature_info, strict=True)):
        encoder = _encoder(name, stage=stage, weights=str(file)).eval()
        assert encoder.dim == info["num_chs"]
        torch.testing.assert_close(_grid(encoder(pictures)), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_without_a_stage_the_features_are_those_the_classifier_sees(name: str) -> None:
    encoder = _encoder(name).eval()
    pictures = _pictures()
    expected = encoder.backbone.forward_features((pictures.pixels - encoder.mean) / encoder.std)
    if expected.ndim == 3:  # tokens: the class token comes first
        torch.testing.assert_close(encoder(pictures).values, expected[:, encoder.backbone.num_prefix_tokens :])
    else:
        torch.testing.assert_close(_grid(encoder(pictures)), expected)


def test_an_example_comes_out_the_same_alone_and_in_a_batch() -> None:
    encoder, pictures = _encoder("test_vit").eval(), _pictures(3)
    alone = encoder(ImageBatch(pictures.pixels[1:2], pictures.view[1:2])).values
    torch.testing.assert_close(alone, encoder(pictures).values[1:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("stage", [-1, 5])
def test_a_stage_that_is_not_there_is_refused(stage: int) -> None:
    with pytest.raises(ConfigError, match=f"test_resnet has stages 0 to 4, not {stage}"):
        _encoder(stage=stage)


# Several stages side by side


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit"])
@pytest.mark.parametrize("stage", [[0, 1, 2], [2, 0], [1]])
def test_several_stages_stand_side_by_side_on_the_grid_of_the_last_named(
    name: str, stage: list[int], tmp_path: Path
) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(timm.create_model(name).state_dict(), file)
    encoder = _encoder(name, stage=stage, weights=str(file)).eval()
    alone = [_encoder(name, stage=number, weights=str(file)).eval() for number in stage]
    maps = [_grid(each(_pictures())) for each in alone]
    size = maps[-1].shape[2:]
    features = encoder(_pictures())
    assert isinstance(features.layout, Grid)
    assert (features.layout.height, features.layout.width) == size
    assert encoder.stage_widths == [each.dim for each in alone]
    assert encoder.dim == sum(encoder.stage_widths)
    for got, expected in zip(_grid(features).split(encoder.stage_widths, 1), maps, strict=True):
        torch.testing.assert_close(got, resize_map(expected, (size[0], size[1])), rtol=1e-4, atol=1e-4)


def test_finer_maps_are_averaged_and_coarser_ones_interpolated() -> None:
    fine = torch.arange(16.0).view(1, 1, 4, 4)
    torch.testing.assert_close(resize_map(fine, (2, 2)).flatten(), torch.tensor([2.5, 4.5, 10.5, 12.5]))
    assert torch.equal(resize_map(fine, (4, 4)), fine)
    coarse = torch.tensor([0.0, 4.0]).view(1, 1, 1, 2)  # cells whose centres lie at 1/4 and 3/4
    torch.testing.assert_close(resize_map(coarse, (1, 4)).flatten(), torch.tensor([0.0, 1.0, 3.0, 4.0]))


def test_several_stages_with_geometry_and_training_from_a_stage_on() -> None:
    encoder = _encoder(stage=[1, 3], geometry=True, train_from=2).train()
    features = encoder(_pictures())
    assert features.values.shape[2] == encoder.dim == sum(encoder.stage_widths) + 4
    features.values.square().sum().backward()
    trained = {name.split(".")[1] for name, each in encoder.named_parameters() if each.grad is not None}
    assert trained == {"layer2", "layer3"}
    assert not encoder.frozen
    assert _encoder(stage=[1, 3]).frozen


@pytest.mark.parametrize(
    ("stage", "reason"),
    [([1, 5], "has stages 0 to 4, not 5"), ([], "one stage at least"), ([1, 1], r"none twice, not \[1, 1\]")],
)
def test_stages_that_cannot_be_put_together_are_refused(stage: list[int], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        _encoder(stage=stage)


# The way in: preprocessing and geometry


def test_preprocessing_is_the_models_own_unless_told_otherwise() -> None:
    config = timm.create_model("test_efficientnet").pretrained_cfg
    encoder = ImageEncoder("test_efficientnet")
    assert encoder.preprocessing.size == config["input_size"][1:]
    assert encoder.preprocessing.interpolation == config["interpolation"]
    torch.testing.assert_close(encoder.mean.flatten() / 255, torch.tensor(config["mean"]))
    torch.testing.assert_close(encoder.std.flatten() / 255, torch.tensor(config["std"]))
    assert _encoder(fit="pad", image_size=(32, 96)).preprocessing.size == (32, 96)


def test_another_normalisation_can_be_given() -> None:
    encoder = _encoder(model_args={"pretrained_cfg_overlay": {"mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0)}})
    torch.testing.assert_close(encoder.mean.flatten() / 255, torch.tensor([0.1, 0.2, 0.3]))
    torch.testing.assert_close(encoder.std.flatten() / 255, torch.ones(3))


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        ((200, 100), [[False] * 4, [True] * 4, [True] * 4, [False] * 4]),  # bars above and below
        ((100, 200), [[False, True, True, False]] * 4),  # bars on both sides
        ((120, 100), [[True] * 4] * 4),  # the outer cells see a bar and a bit of the picture
        ((100, 100), [[True] * 4] * 4),
    ],
)
def test_cells_that_see_padding_only_are_not_kept(picture: tuple[int, int], expected: list[list[bool]]) -> None:
    encoder = _encoder(stage=3, fit="pad").eval()  # 4 x 4 cells
    pixels, view = encoder.preprocessing.prepare(Image.new("RGB", picture, "red"))
    features = encoder(ImageBatch(pixels.unsqueeze(0), view.unsqueeze(0)))
    assert features.keep.view(4, 4).tolist() == expected


def test_geometry_appends_each_cells_rectangle() -> None:
    plain, located = _encoder().eval(), _encoder(geometry=True).eval()
    located.load_state_dict(plain.state_dict())
    pictures = _pictures()
    values = located(pictures).values
    assert located.dim == plain.dim + 4
    assert torch.equal(values[..., :-4], plain(pictures).values)
    quarters = torch.tensor([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1]])
    torch.testing.assert_close(values[0, :, -4:], 4 * (quarters + located.offset.repeat(2) - 0.5))


def test_the_preprocessing_travels_with_the_weights() -> None:
    trained, fresh = _encoder(fit="pad", image_size=(32, 64)), _encoder(image_size=(64, 64))
    file = io.BytesIO()
    torch.save(trained.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert fresh.preprocessing == trained.preprocessing


@pytest.mark.parametrize("state", [None, {}, {"size": 64}, {"size": [64, 64], "crop": 0.9}])
def test_a_preprocessing_of_another_version_is_refused(state: object) -> None:
    with pytest.raises(
        CheckpointError, match=r"want a preprocessing unknown here, .*: use the version that wrote them"
    ):
        _encoder().load_state_dict(_encoder().state_dict() | {"_extra_state": state})


# What is trained


def _moves(encoder: ImageEncoder) -> set[str]:
    """The running statistics that a pass in training mode changes."""
    before = {name: buffer.clone() for name, buffer in encoder.named_buffers()}
    encoder(_pictures())
    return {name for name, buffer in encoder.named_buffers() if not torch.equal(buffer, before[name])}


@pytest.mark.parametrize("name", MODELS)
def test_a_frozen_encoder_stays_as_it_is_in_training(name: str) -> None:
    encoder = nn.Sequential(_encoder(name)).train()[0]
    assert isinstance(encoder, ImageEncoder)
    assert encoder.frozen
    first, second = encoder(_pictures()).values, encoder(_pictures()).values
    assert not first.requires_grad
    assert torch.equal(first, second)
    assert not _moves(encoder)
    assert not any(module.training for module in encoder.backbone.modules())


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("stage", [None, 1])
def test_whatever_is_trained_gets_a_gradient_and_from_scratch_that_is_nearly_all(name: str, stage: int | None) -> None:
    encoder = _encoder(name, stage=stage, train_from=0).train()
    assert not encoder.frozen
    encoder(_pictures()).values.square().sum().backward()
    for parameter in encoder.parameters():
        assert parameter.requires_grad == (parameter.grad is not None)
    unused = {name.split(".")[1] for name, parameter in encoder.named_parameters() if not parameter.requires_grad}
    assert unused <= {"head", "conv_head"}  # layers that only the classifier uses


def test_fine_tuning_trains_from_a_stage_on() -> None:
    encoder = _encoder(train_from=3)
    trained = {name.split(".")[1] for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    kept = {name.split(".")[1] for name, parameter in encoder.named_parameters() if not parameter.requires_grad}
    assert trained == {"layer3", "layer4"}
    assert kept == {"conv1", "bn1", "layer1", "layer2"}
    encoder(_pictures()).values.sum().backward()
    assert all((parameter.grad is not None) == parameter.requires_grad for parameter in encoder.parameters())


def test_batch_norm_of_the_frozen_part_stays_in_evaluation_mode() -> None:
    encoder = _encoder(train_from=3)
    for _ in range(2):
        encoder.eval()
        assert not any(module.training for module in encoder.modules())
        encoder.train()
        modes = {name.split(".")[1]: m.training for name, m in encoder.named_modules() if isinstance(m, _BatchNorm)}
        assert modes == {"conv1": False, "bn1": False, "layer1": False, "layer2": False, "layer3": True, "layer4": True}
    assert {name.split(".")[1] for name in _moves(encoder)} == {"layer3", "layer4"}


def test_batch_norm_can_be_fixed_everywhere_while_its_weights_are_trained() -> None:
    encoder = _encoder(train_from=0, batch_norm="fixed").train()
    assert not _moves(encoder)
    assert all(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("train_from", [-1, 5])
def test_a_group_of_layers_that_is_not_there_is_refused(train_from: int) -> None:
    with pytest.raises(ConfigError, match=f"train_from of test_resnet is 0 to 4 or null, not {train_from}"):
        _encoder(train_from=train_from)


# The fingerprint


def test_the_fingerprint_tells_apart_whatever_changes_the_features() -> None:
    def fingerprint(seed: int = 0, name: str = "test_vit", **arguments: object) -> str:
        torch.manual_seed(seed)
        return _encoder(name, **arguments).fingerprint()

    same = fingerprint()
    assert same == fingerprint()
    torch.manual_seed(0)
    assert same == _encoder("test_vit", train_from=0).train().fingerprint()
    overlay = {"pretrained_cfg_overlay": {"mean": (0.1, 0.2, 0.3)}}
    others = [
        fingerprint(seed=1),
        fingerprint(stage=5),  # the same weights, without the last norm
        fingerprint(stage=1),
        fingerprint(stage=[1, 2]),
        fingerprint(stage=[2, 1]),
        fingerprint(fit="pad"),
        fingerprint(geometry=True),
        fingerprint(image_size=(32, 32)),
        fingerprint(model_args=overlay),
        fingerprint(name="test_resnet"),
    ]
    assert len({same, *others}) == 1 + len(others)


@pytest.mark.parametrize(("name", "stage", "pixels"), [("resnet18", 1, -1.5), ("test_vit", None, 0.0)])
def test_the_grid_lies_where_its_cells_look(name: str, stage: int | None, pixels: float) -> None:
    """Two layers of stride 2 with even padding look 0.5 + 1 pixels up and left; a ViT's patches lie straight."""
    torch.manual_seed(0)
    encoder = ImageEncoder(name, stage=stage, image_size=(160, 160))
    assert (encoder.offset * 160).tolist() == pytest.approx([pixels] * 2, abs=1.0)
    whole = torch.tensor([[0.0, 0.0, 1.0, 1.0]])
    layout = encoder(ImageBatch(torch.zeros(1, 3, 160, 160, dtype=torch.uint8), whole)).layout
    assert isinstance(layout, Grid)
    torch.testing.assert_close(layout.view, whole + encoder.offset.repeat(2))
