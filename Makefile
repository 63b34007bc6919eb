# Everything runs from a plain Python >= 3.11 with git and make. `make help` lists the targets.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
UV := $(VENV)/bin/uv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help install demo test check format dev chaos bench clean
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## .venv with the locked dependencies and the `vulnzero` command

$(INSTALLED): uv.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=python3.11"; exit 2; }
	@echo "installing the locked dependencies into $(VENV) (about half a minute the first time)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv==0.13.9'
	@VIRTUAL_ENV= $(UV) sync --frozen --all-extras
	@touch $@

demo: install  ## a practice fleet is patched before your eyes, and checked
	@$(BIN)/python -m starter.demo

dev: install  ## PostgreSQL, Temporal with its Web UI and the workers, in the foreground
	@$(BIN)/vulnzero dev

test: install  ## the whole test suite
	@$(BIN)/pytest

check: install  ## format, lint, types, import rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: install  ## put the code into its format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

chaos: install  ## crashes at named points of a patch, as a table
	@$(BIN)/python -m tests.chaos

bench: install  ## what orchestration costs over bare Ansible, as a table
	@$(BIN)/python -m tests.bench

clean:  ## remove what was installed and cached here
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .bench
