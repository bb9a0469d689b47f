# Every target sets up what it needs by itself and is quick when nothing changed. No root, no account.
.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin
# The machine's own pip settings must not decide what is installed: the lock does.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --quiet pyproject.toml

.PHONY: help setup demo test lint soak bench docs lock tools clean

help: ## show what there is
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: .venv/.dev ## create .venv with everything development needs

demo: .venv/.demo ## run the whole service on this machine: Redis, Dataverse sandbox, poller, workers
	@$(BIN)/jobworker demo

test: .venv/.dev tools ## run the whole test suite
	$(BIN)/pytest -n 2

lint: .venv/.dev ## formatting, lint, strict types, import contracts, unused code and dependencies
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/vulture

soak: .venv/.dev ## twenty minutes of 10,000 jobs under all faults together; prints lost, stuck, doubled
	$(BIN)/python -m tests.faults.soak

bench: .venv/.dev ## print the figures performance is judged by
	$(BIN)/python -m bench

docs: .venv/.dev ## write the tables of settings and metrics into the documents
	@$(BIN)/python -m docs.generate

lock: .venv/.dev ## resolve the dependencies again and pin them with hashes
	$(LOCK) --upgrade --extra dev -o requirements-dev.lock
	$(LOCK) --extra sandbox -c requirements-dev.lock -o requirements-sandbox.lock
	$(LOCK) -c requirements-dev.lock -o requirements.lock

tools: ## fetch Prometheus and redis-server for the tests from Debian's packages, into .tools, without root
	@deploy/tools/fetch

clean: ## remove what make made
	rm -rf .venv .tools .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "jobworker needs Python 3.11 or newer; name one with: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.demo: requirements-sandbox.lock pyproject.toml | .venv/bin/python
	@echo "Setting up .venv (about a minute the first time) ..."
	@$(PIP) install --require-hashes -r requirements-sandbox.lock
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@

.venv/.dev: requirements-dev.lock pyproject.toml | .venv/bin/python
	@echo "Setting up .venv for development ..."
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(PIP) install --no-deps --no-build-isolation --no-index --editable .
	@touch $@ .venv/.demo
