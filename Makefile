# `make demo` and `make test` work from a fresh clone with Python >= 3.11, pip and make.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
UV ?= uv
# Two test processes: more would only fight over the cores of a small machine.
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint format bench lock clean

help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# Built with the standard library's venv and pip, constrained by the lock; renewed when either
# file changes. Another Python needs another folder: make test PYTHON=python3.12 VENV=.venv312
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "jaxrl needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1): type make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(STAMP)  ## train PPO on CartPole-v1; prints the return, leaves a curve and a GIF
	$(BIN)/jaxrl train ppo CartPole-v1 --seeds 10

test: $(STAMP)  ## the fast tests, under 8 minutes on 2 cores
	$(BIN)/python -m pytest -n $(WORKERS)

test-slow: $(STAMP)  ## the learning tests and the notebooks; tens of minutes
	$(BIN)/python -m pytest -n $(WORKERS) -m "slow or exact"

lint: $(STAMP)  ## ruff and pyright
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(STAMP)  ## let ruff rewrite what it can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)  ## steps per second of PPO, ours and the peers'
	$(BIN)/python benchmarks/throughput.py

lock:  ## renew constraints.txt from pyproject.toml (needs uv)
	$(UV) pip compile --universal --python-version 3.11 --extra dev --extra wandb --extra vlm \
	  --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
	  pyproject.toml -o constraints.txt

clean:  ## remove what was built here; runs/ stays
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache
