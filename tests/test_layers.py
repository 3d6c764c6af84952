"""Data flows one way: a module imports only what stands above it, also inside functions."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import hostrisk

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = Path(hostrisk.__file__).parent
ORDER = """
errors records _visible _toml _templates _marks _fold_table normalize features _reference _kernel
_vectors linear language policy cleaning encoder _checks artifact decide evidence _columns arrow
classifier _lines files _writers _cells metrics tables labeled calibration attacks material
mistakes evaluation robustness fairness report host review _terminal _scoring cli __main__ sklearn
""".split()  # noqa: SIM905  # read as one line of flow
FRONT_DOOR = "classifier"  # what `import hostrisk` stands for: its load() and score()
EXCEPTIONS = {
    ("artifact", "classifier"): "verify() scores golden texts with the class that users have",
    ("evaluation", "report"): "an Evaluation renders itself when asked to",
    ("robustness", "report"): "so do the figures of attacks",
    ("fairness", "report"): "and those of an audit",
}


def modules() -> dict[str, list[Path]]:
    """Return the files of each module, and of ``report``, which counts as one."""
    found: dict[str, list[Path]] = {}
    for path in sorted(SOURCE.rglob("*.py")):
        found.setdefault(path.relative_to(SOURCE).with_suffix("").parts[0], []).append(path)
    del found["__init__"]  # resolves every public name lazily
    return found


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def imports(node: ast.AST) -> Iterator[str]:
    """Yield the dotted names that code imports, but those for type checkers only."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
        yield ast.literal_eval(node.args[0])
    children = node.orelse if is_type_checking(node) else ast.iter_child_nodes(node)
    for child in children:
        yield from imports(child)


def imported(module: str) -> set[str]:
    names = {name for path in modules()[module] for name in imports(ast.parse(path.read_bytes()))}
    parts = [name.split(".") for name in names]
    assert not [name for name in parts if name[0] in {"training", "tests"}]
    inside = [name[1] if len(name) > 1 else "" for name in parts if name[0] == "hostrisk"]
    return {name if name in ORDER else FRONT_DOOR for name in inside}


def test_every_module_has_its_place() -> None:
    assert sorted({*modules(), "_kernel"}) == sorted(ORDER)


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_what_stands_above_it(module: str) -> None:
    for other in imported(module) - {module}:
        if (module, other) not in EXCEPTIONS:
            assert ORDER.index(other) < ORDER.index(module), f"{module} must not import {other}"


def test_no_exception_has_outlived_its_reason() -> None:
    for module, other in EXCEPTIONS:
        assert other in imported(module)
        assert ORDER.index(other) > ORDER.index(module)
