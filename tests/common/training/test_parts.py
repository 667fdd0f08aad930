from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

import pytest
from torch import nn

from common.errors import ConfigError
from common.training.parts import Part, build


class Bell(nn.Module):
    pass


class Small(Bell):
    def __init__(self, pitch: float, name: str = "ding", tone: Literal["dull", "clear"] = "clear") -> None:
        super().__init__()
        self.pitch, self.name, self.tone = pitch, name, tone


class Tower(Bell):
    def __init__(self, bell: Bell, height: int, others: list[Bell] | None = None, at: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        if height < 1:
            raise ValueError(f"height must be at least 1, not {height}")
        self.bell, self.height, self.others, self.at = bell, height, others, at


class Foundry(Bell):
    def __init__(self, cast: Callable[..., Bell], other: Callable[..., Small] | None = None) -> None:
        super().__init__()
        self.cast, self.other = cast, other


class Catalogue(Bell):
    def __init__(self, recipe: Part, **options: Any) -> None:
        super().__init__()
        self.recipe, self.options = recipe, options


def recipe(kind: type, **init_args: Any) -> Part:
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": init_args}


def test_builds_the_named_class_with_its_settings() -> None:
    bell = build(recipe(Small, pitch=2.5, tone="dull"), Small)
    assert (bell.pitch, bell.name, bell.tone) == (2.5, "ding", "dull")


def test_parts_within_are_built_and_lists_become_tuples() -> None:
    tower = build(
        recipe(Tower, bell=recipe(Small, pitch=1), height=3, others=[recipe(Small, pitch=2)], at=[4, 5]), Bell
    )
    assert isinstance(tower, Tower)
    assert isinstance(tower.bell, Small)
    assert isinstance(tower.others, list)
    assert (tower.bell.pitch, tower.others[0].pitch, tower.at) == (1, 2, (4, 5))


def test_what_the_model_works_out_reaches_every_part_that_names_it_and_no_other() -> None:
    tower = build(recipe(Tower, bell=recipe(Small, name="dong")), Tower, height=7, pitch=3.0, unheard_of=1)
    assert (tower.height, tower.bell.pitch, tower.bell.name) == (7, 3.0, "dong")


def test_a_part_may_want_the_recipe_itself() -> None:
    inner = recipe(Small, pitch=1)
    assert build(recipe(Catalogue, recipe=inner), Catalogue).recipe == inner


def test_a_part_may_want_a_function_that_builds_another_once_its_widths_are_known() -> None:
    foundry = build(recipe(Foundry, cast=recipe(Small, name="dong")), Foundry, tone="dull", pitch=9.0)
    assert foundry.other is None
    first, second = foundry.cast(pitch=1.0), foundry.cast(pitch=2.0)
    assert isinstance(first, Small)
    assert [(bell.pitch, bell.name, bell.tone) for bell in (first, second)] == [
        (1, "dong", "dull"),
        (2, "dong", "dull"),
    ]


def test_init_args_may_be_left_out() -> None:
    assert isinstance(build({"class_path": f"{__name__}.Bell"}, Bell), Bell)


def test_our_own_modules_are_imported_on_demand() -> None:
    assert build({"class_path": "common.attention.distributions.Softmax"}, nn.Module) is not None


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (recipe(Small, pich=1), "Small has no setting 'pich'; did you mean 'pitch'?"),
        (recipe(Small), "Small needs 'pitch' among its init_args"),
        (recipe(Small, pitch="high"), "Small: 'pitch' must be float, not 'high'"),
        (recipe(Small, pitch=True), "Small: 'pitch' must be float, not True"),
        (recipe(Small, pitch=1, tone="loud"), "Small: 'tone' must be one of 'dull', 'clear', not 'loud'"),
        (recipe(Tower, bell=recipe(Small, pitch=1), height=2.5), "Tower: 'height' must be int, not 2.5"),
        (recipe(Tower, bell="Small", height=2), "Tower: 'bell' must be Bell, not 'Small'"),
        (recipe(Tower, bell=recipe(Small, pitch=1), height=2, at=[1, 2, 3]), "not [1, 2, 3]"),
        (recipe(Tower, bell=recipe(Small, pitch=1), height=0), "Tower: height must be at least 1, not 0"),
        (recipe(Tower, bell=recipe(Small, pitsch=1), height=1), "Small has no setting 'pitsch'"),
        (recipe(Foundry, cast="Small"), "Foundry: 'cast' must be the recipe of a Bell, not 'Small'"),
        (recipe(Foundry, cast=recipe(Bell), other=recipe(Bell)), "Bell' must name a kind of Small, but it is none"),
        (recipe(Catalogue, recipe=recipe(Small), volume=1), "Catalogue has no setting 'volume'"),
        ({"class_path": f"{__name__}.Smal"}, "but there is none; did you mean 'Small'?"),
        ({"class_path": "common.trainig.parts.Part"}, "there is no module 'common.trainig.parts'; did you mean"),
        ({"class_path": f"{__name__}.Small", "init_arg": {}}, "unknown key 'init_arg'; did you mean 'init_args'?"),
        ({"init_args": {}}, "a part is written as {class_path: ..., init_args: {...}}"),
        ({"class_path": 3}, "a part is written as {class_path: ..., init_args: {...}}"),
    ],
)
def test_a_wrong_recipe_is_told_in_one_line(part: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(part, Bell)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_recipe_may_not_set_what_the_model_works_out() -> None:
    with pytest.raises(ConfigError, match=r"'pitch' is worked out by the model \(2.0 here\); remove it"):
        build(recipe(Small, pitch=1.0), Bell, pitch=2.0)


@pytest.mark.parametrize(
    "class_path", ["os.system", "subprocess.Popen", "builtins.eval", "torch.nn.Linear", "this.Object", "antigravity.x"]
)
def test_nothing_but_a_kind_of_the_base_is_called_and_nothing_foreign_imported(
    class_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Any] = []
    monkeypatch.setattr(os, "system", called.append)
    monkeypatch.setattr("subprocess.Popen.__init__", lambda *a, **k: called.append(a))
    monkeypatch.setattr("common.training.parts.import_module", called.append)
    for part in (
        {"class_path": class_path, "init_args": {"command": "true"}},
        recipe(Tower, bell={"class_path": class_path}, height=1),
        recipe(Foundry, cast={"class_path": class_path}),
    ):
        with pytest.raises(ConfigError, match=class_path):
            build(part, Bell)  # type: ignore[arg-type]
    assert not called
