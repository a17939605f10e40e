"""Imports point down only, heavy packages come late, and the public names are all there."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import shrinklm

SOURCE = Path(shrinklm.__file__).parent
FLOORS: dict[int, str] = {
    0: "types store errors registry results",
    1: "tasks",
    2: "methods prompts words",
    3: "generate encoder teachers train trainer lessons students losses attribution decode models refuse likeliest",
    4: "audit evaluate probes simulate metrics asking judge duel stats saliency erasure highlights",
    5: "report factorial study",
    6: "recipe run auditing cells scoring panel judged folder markers engines",
    7: "cli cli_study cli_create cli_serve command __init__ __main__ progress init doctor demo "
    "show show_compare show_study show_create show_outcome",
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names.split()}
HEAVY = {"torch", "transformers", "datasets", "pandas", "scipy", "accelerate", "peft", "matplotlib", "pyarrow"}
LIGHT = {
    "stats", "report", "factorial", "study", "recipe", "run", "cells", "folder", "generate", "refuse",
    "models", "evaluate", "metrics", "probes", "simulate", "scoring",
}  # fmt: skip


def imports(path: Path) -> Iterator[str]:
    """The modules that importing the file imports: not those inside functions or for the type checker alone."""
    module = ("shrinklm", *path.relative_to(SOURCE).with_suffix("").parts)
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
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


def place(path: Path) -> str:
    """The first part below the package: a file's name or a folder's."""
    return path.relative_to(SOURCE).with_suffix("").parts[0]


FILES = sorted(SOURCE.rglob("*.py"))


def inside(name: str) -> str | None:
    """ "shrinklm.tasks.base.make_task" → tasks; the package itself → __init__; None for other packages."""
    parts = name.split(".")
    if parts[0] != "shrinklm":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else "__init__"


def test_every_file_has_a_floor() -> None:
    assert {place(path) for path in FILES} <= FLOOR.keys(), "add the new file to FLOORS"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down_only(path: Path) -> None:
    own = place(path)
    for name in imports(path):
        target = inside(name)
        if target is not None and target != own:
            assert FLOOR[target] <= FLOOR[own], f"{own} (floor {FLOOR[own]}) imports {name} (floor {FLOOR[target]})"
        light = own in LIGHT or FLOOR[own] <= 2
        assert not (light and name.split(".")[0] in HEAVY), f"{own} imports {name} at import time"


def test_nobody_imports_the_command_line() -> None:
    users = {place(path) for path in FILES if any(inside(name) == "cli" for name in imports(path))}
    assert users == {"__main__"}


def test_no_import_cycles() -> None:
    modules = {".".join(("shrinklm", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path for path in FILES}
    graph = {module: _targets(path, modules) - {module} for module, path in modules.items()}
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"import cycle: {' -> '.join((*way, module))}"
        if module not in done:
            for target in graph[module]:
                visit(target, (*way, module))
            done.add(module)

    for module in graph:
        visit(module, ())


def _targets(path: Path, modules: dict[str, Path]) -> set[str]:
    """Modules of ours that a file imports; `from .package import name` is the module `package.name` where there is one."""
    found = set()
    for name in imports(path):
        for candidate in (name, name.rpartition(".")[0]):
            if candidate in modules:
                found.add(candidate)
                break
    return found - {"shrinklm"}


def test_nothing_asks_which_dataset_or_method_it_is() -> None:
    """`if dataset == ...` and `if method == ...` are for the tables alone."""
    guilty = []
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq) and isinstance(node.comparators[0], ast.Constant):
                left = ast.unparse(node.left)
                if left in ("dataset", "task", "task.name", "method", "method.name", "self.task.name", "self.method.name"):
                    guilty.append(f"{path.name}:{node.lineno}: {ast.unparse(node)}")
    assert not guilty


@pytest.mark.parametrize(
    "code",
    [
        "import shrinklm",
        "import shrinklm.cli; import sys; sys.argv[1:] = ['--help']; shrinklm.cli.main(['--help'])",
        "from shrinklm import Run, Recipe, Store",
    ],
    ids=["package", "help", "api"],
)
def test_no_heavy_import(code: str) -> None:
    heavy = "{'torch', 'transformers', 'datasets', 'pandas', 'scipy', 'pyarrow', 'matplotlib'}"
    script = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('\\nheavy:', sorted({heavy} & set(sys.modules)))"
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
