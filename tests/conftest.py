"""Before anything is imported: libraries are as quiet as the command line makes them, whichever test comes first."""

from __future__ import annotations

import gc
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from shrinklm import Run

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Each of the some hundred processes that tests start would compile all modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# SQLite, and the processes that tests start, force many small files onto the disk. In memory that takes no time.
MEMORY = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 8 * 2**30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

# With torch and transformers in memory, looking through all objects for cycles takes half a second each time.
gc.set_threshold(50_000, 20, 100)

SLOW = {
    "test_architectures.py",
    "test_attribution.py",
    "test_audit.py",
    "test_before_paying.py",
    "test_cli.py",
    "test_cli_demo.py",
    "test_distil.py",
    "test_engine_ray.py",
    "test_evaluate_kill.py",
    "test_export_model.py",
    "test_full_disk.py",
    "test_generate_kill.py",
    "test_init.py",
    "test_lock.py",
    "test_long_questions.py",
    "test_markers.py",
    "test_missing.py",
    "test_models.py",
    "test_old_versions.py",
    "test_report_audit.py",
    "test_run.py",
    "test_scoring.py",
    "test_serve_browser.py",
    "test_serve_process.py",
    "test_simulate.py",
    "test_study_browser.py",
    "test_study_durable.py",
    "test_study_outcome.py",
    "test_study_recovery.py",
    "test_teachers_live.py",
    "test_train.py",
    "test_engine_local.py",
    "test_train_kill.py",
    "test_train_processes.py",
    "test_trackers.py",
}
"""Files that open a browser, kill processes, train or load a model, or simulate studies; not in `make check`."""

DRAWN = {
    "test_factorial.py",
    "test_report.py",
    "test_report_decision.py",
    "test_report_figures.py",
    "test_report_saliency.py",
    "test_study.py",
    "test_study_outcome.py",
}
"""Files with tests that look at a figure's PDF or PNG, which take most of the time of drawing it."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in SLOW:
            item.add_marker("slow")
    # Workers take one file after another: with the long ones first, all workers end at about the same time.
    items.sort(key=lambda item: item.path.name not in SLOW)


@pytest.fixture(scope="session", autouse=True)
def no_power_cut() -> Iterator[None]:
    """Files are not forced onto the disk: tests kill processes, whose written files stay, and cut no power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def pages_alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """Figures are drawn for pages alone in all files but those of `DRAWN`."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.name not in DRAWN:
            _draw_pages_alone(patch)
        yield


@pytest.fixture(scope="module", autouse=True)
def one_alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """Latency is measured on one question, and on three in the tests of how it is measured."""
    from shrinklm.evaluation import ask

    with pytest.MonkeyPatch.context() as patch:
        if request.path.name != "test_evaluate.py":
            patch.setattr(ask, "_FEWEST_ALONE", 1)
        yield


@pytest.fixture
def page_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for a test in a file of `DRAWN`."""
    _draw_pages_alone(monkeypatch)


def _draw_pages_alone(patch: pytest.MonkeyPatch) -> None:
    from shrinklm.report.look import figures

    drawn = figures._bytes
    patch.setattr(figures, "_bytes", lambda figure, kind: drawn(figure, kind) if kind == "svg" else b"")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    from chromium import CHROMIUM, QUIET

    assert CHROMIUM is not None, "CI installs Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The address of an empty database of a server of its own."""
    from postgres import NoPostgres, postgres

    try:
        with postgres() as address:
            yield address
    except NoPostgres as why:
        pytest.skip(f"no PostgreSQL: {why}")


@pytest.fixture(scope="session")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of four methods, trained a little and evaluated, to be asked and exported; tests leave it as it is."""
    from shrinklm import Recipe, Run

    recipe = Recipe.model_validate(
        {
            "name": "deployed",
            "task": {"use": "everyday", "dev": 0.1, "limit": {"train": 24, "dev": 6, "test": 8}},
            "teacher": {"use": "fake"},
            "generate": ["explanation"],
            "methods": ["finetune", "multitask", "explain-then-answer", "answer-then-explain"],
            "student": {"use": "tiny"},
            "train": {"examples": 24, "seeds": [0], "curve": 0},
            "evaluate": {"max_tokens": 16, "zero_shot": False},
        }
    )
    run = Run(recipe.model_copy(update={"root": tmp_path_factory.mktemp("deployed")}))
    run.generate()
    run.train()
    run.evaluate()
    return run
