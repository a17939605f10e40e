"""Heavy packages are imported late, and the public names are all there.

What may import what: pyproject.toml, `make lint`.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import shrinklm

SOURCE = Path(shrinklm.__file__).parent
HEAVY = {"torch", "transformers", "datasets", "pandas", "scipy", "accelerate", "peft", "matplotlib", "pyarrow"}
LIGHT = {
    "core",
    "stats",
    "tasks",
    "methods",
    "teachers",
    "evaluation",
    "report",
    "deploy",
    "study",
    "run",
    "cli",
    "saliency",
}
"""Folders that a command may open before it knows whether it needs a model."""
TORCH = {"saliency/attribution.py"}
"""Files of these folders that are imported only once a model is at hand."""


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> Iterator[str]:
    """The modules that importing the file imports: not those inside functions or for the type checker alone."""
    module = ("shrinklm", *path.relative_to(SOURCE).with_suffix("").parts)
    nodes: list[ast.AST] = [parsed(path)]
    while nodes:
        for node in ast.iter_child_nodes(nodes.pop()):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = [*module[: -node.level], *filter(None, [node.module])] if node.level else [node.module or ""]
                yield from (".".join([*base, alias.name]) for alias in node.names)
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) and not _for_types(node):
                nodes.append(node)


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


FILES = sorted(SOURCE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_heavy_packages_are_imported_late(path: Path) -> None:
    place = path.relative_to(SOURCE)
    if place.parts[0] in LIGHT and place.as_posix() not in TORCH:
        heavy = {name for name in imports(path) if name.split(".")[0] in HEAVY}
        assert not heavy, f"{place} imports {', '.join(sorted(heavy))} at import time"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    """When one outgrows its bound, ask which noun is missing."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 350, f"{path.name} has {text.count(chr(10))} lines"
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 60, f"{path.name}: {node.name} has {lines} lines"


def test_nothing_asks_which_dataset_or_method_it_is() -> None:
    """`if dataset == ...` and `if method == ...` are for the tables alone."""
    guilty = []
    for path in FILES:
        for node in ast.walk(parsed(path)):
            if (
                isinstance(node, ast.Compare)
                and isinstance(node.ops[0], ast.Eq)
                and isinstance(node.comparators[0], ast.Constant)
            ):
                left = ast.unparse(node.left)
                if left in (
                    "dataset",
                    "task",
                    "task.name",
                    "method",
                    "method.name",
                    "self.task.name",
                    "self.method.name",
                ):
                    guilty.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert not guilty


@pytest.mark.parametrize(
    "code",
    [
        "import shrinklm",
        "import shrinklm.cli; import sys; sys.argv[1:] = ['--help']; shrinklm.cli.main(['--help'])",
        "import shrinklm.cli; shrinklm.cli.main(['teacher', 'serve', '--help'])",
        "from shrinklm import Run, Recipe, Store",
    ],
    ids=["package", "help", "teacher help", "api"],
)
def test_no_heavy_import(code: str) -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'pandas', 'scipy', 'pyarrow', 'matplotlib'}"
    loaded = f"sorted({heavy} & set(sys.modules))"
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('\\nheavy:', {loaded})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


def test_public_names() -> None:
    assert sorted(shrinklm.__all__) == sorted({*shrinklm._PLACE, "__version__"})
    for name in shrinklm.__all__:
        assert getattr(shrinklm, name) is not None
    assert set(dir(shrinklm)) == set(shrinklm.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Recipes'"):
        shrinklm.Recipes  # noqa: B018


def test_version_is_the_packages() -> None:
    from importlib.metadata import version

    assert shrinklm.__version__ == version("shrinklm")
