# Everything starts here: `make serve` runs the server, `make test` passes the tests.
# Needs Python 3.11 or newer (PYTHON=… names another one) and installs the rest into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: serve test check format clients histories bench lock clean

serve: $(VENV)/.runtime
	$(BIN)/mirror serve --config mirror.yaml

test: $(VENV)/.development
	$(BIN)/pytest

check: $(VENV)/.development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest

format: $(VENV)/.development
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Real dockerd, containerd, podman and skopeo; installs them where the system is Debian.
clients: $(VENV)/.development
	tests/clients/run

# Random histories of pushes, pulls, deletions, evictions and collections: hours, for releases.
histories: $(VENV)/.development
	MIRROR_HISTORIES=100000 $(BIN)/pytest tests/registry/test_collection_histories.py

bench: $(VENV)/.development
	$(BIN)/python -m bench

# The lock files name versions and hashes, never an index.
lock:
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-header --no-annotate -o requirements-dev.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "mirror needs Python 3.11 or newer; name one with: make PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

$(VENV)/.development: requirements-dev.lock $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@
