"""The rules of the house: who may import whom."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("common", "captioning", "vqa", "scripts", "benchmarks")
# What each part may import of the others; nothing else, and so no part imports back.
BELOW: dict[str, set[str]] = {
    "common.errors": set(),
    "common.contexts": set(),
    "common.commands": {"common.errors"},
    "common.files": {"common.errors"},
    "common.statistics": {"common.errors"},
    "common.measures": {"common.errors", "common.statistics"},
    "common.products": set(),
    "common.attention": {"common.errors", "common.contexts"},
    "common.data": {"common.errors", "common.files", "common.attention"},
    "common.encoders": {"common.errors", "common.contexts", "common.attention", "common.data"},
    "common.search": {"common.errors", "common.commands", "common.products", "common.attention", "common.data"},
    "common.explain": {"common.errors", "common.files", "common.attention", "common.data", "common.encoders"},
    "common.training": {
        "common.errors",
        "common.contexts",
        "common.files",
        "common.attention",
        "common.data",
        "common.encoders",
        "common.explain",
    },
    "captioning": {"common"},
    "vqa": {"common"},
    "scripts": {"common", "captioning", "vqa"},
    "benchmarks": {"common", "captioning", "vqa"},
}


def modules() -> dict[str, Path]:
    """Every module of ours by its dotted name."""
    files = [file for package in PACKAGES for file in (ROOT / package).rglob("*.py")]
    return {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in files}


def imported(file: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ours that a file imports; in `from package import name`, `name` may be one."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            dotted = {f"{node.module}.{alias.name}" for alias in node.names}
            names.update({name if name in known else str(node.module) for name in dotted})
    return {name for name in names if name.split(".")[0] in PACKAGES}


MODULES = modules()
IMPORTS = {name: imported(file, MODULES) for name, file in MODULES.items()}


def part(module: str) -> str | None:
    """The part that a module belongs to: the longest name in BELOW it begins with."""
    fitting = [name for name in BELOW if module == name or module.startswith(f"{name}.")]
    return max(fitting, key=len, default=None)


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"common"}))
def test_imports_go_down_only(module: str) -> None:
    own = part(module)
    assert own is not None, f"{module} lies outside the parts of the house"
    allowed = BELOW[own] | {own}
    wrong = {name for name in IMPORTS[module] if not any(name == top or name.startswith(f"{top}.") for top in allowed)}
    assert not wrong, f"{module} may not import {sorted(wrong)}"


def test_no_module_imports_itself_in_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"circle: {' -> '.join((*path, module))}"
        if module not in done:
            for name in sorted(IMPORTS.get(module, ())):
                visit(name, (*path, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


def test_the_readme_shows_every_script() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert not [script.name for script in (ROOT / "scripts").glob("*.py") if f"scripts/{script.name}" not in readme]


def forwards() -> list[tuple[str, ast.FunctionDef]]:
    """Every `forward` of ours with where it stands."""
    trees = [(name, ast.parse(file.read_text(encoding="utf-8"))) for name, file in MODULES.items()]
    return [
        (f"{name}:{node.lineno}", node)
        for name, tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and node.name == "forward"
    ]


def test_every_forward_annotates_its_arguments_and_its_result() -> None:
    bare = [
        where
        for where, node in forwards()
        if node.returns is None or any(argument.annotation is None for argument in node.args.args[1:])
    ]
    assert not bare


def test_every_forward_names_the_shapes_of_its_tensors() -> None:
    bare = [
        f"{where}: {ast.unparse(annotation)}"
        for where, node in forwards()
        for annotation in (*(argument.annotation for argument in node.args.args), node.returns)
        if annotation is not None and re.search(r"\bTensor\b(?!, ')", ast.unparse(annotation))
    ]
    assert not bare, "write Float[Tensor, 'B R D'], not Tensor"
