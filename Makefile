# Everything a person or CI runs. Needs only Python >= 3.10 and make; the rest is installed into .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# test processes side by side; the slow tests run one after the other, for they kill and measure
WORKERS ?= 2
UV     := $(BIN)/uv
UV_PIN := uv==0.13.9
export VIRTUAL_ENV := $(abspath $(VENV))
export PATH := $(abspath $(BIN)):$(PATH)
# state of one's own: no telemetry, no version checks over the network
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export AIRFLOW__COSMOS__ENABLE_TELEMETRY := False
export PYTHONUNBUFFERED := 1

.DEFAULT_GOAL := help
.PHONY: help setup dev demo up down status test test-full lint format bench eval mutations soak oracles docs lock clean chromium

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(UV):
	@echo "==> creating $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed; try: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "python venv is missing; on Debian: apt-get install python3-venv"; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV_PIN)

# The stamps follow the locks, so that a second call costs nothing and a changed pin is installed.
$(VENV)/.installed: requirements.lock pyproject.toml | $(UV)
	@echo "==> installing the pinned packages"
	@$(UV) pip install --require-hashes -r requirements.lock
	@$(UV) pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	@echo "==> installing the pinned development packages"
	@$(UV) pip install --require-hashes -r requirements-dev.lock
	@touch $@

DBT_FILES := $(shell find dbt -name target -prune -o -name logs -prune -o -type f \( -name '*.sql' -o -name '*.yml' -o -name '*.csv' \) -print)
dbt/target/manifest.json: $(DBT_FILES) $(VENV)/.installed
	@echo "==> parsing the dbt project"
	@mkdir -p var
	@$(BIN)/dbt --quiet parse --project-dir dbt --profiles-dir dbt --target test
	@touch $@

setup: $(VENV)/.installed dbt/target/manifest.json ## Make .venv with `biomem` in it, and the dbt manifest

dev: setup $(VENV)/.installed-dev ## The same, with what tests and linters need

demo: setup ## Run the whole pipeline on a sample life, or on INPUT=file.csv[.gz]
	@$(BIN)/biomem demo $(if $(INPUT),--input "$(INPUT)") $(ARGS)

up: setup ## Start Airflow with its UI for daily use
	@$(BIN)/biomem up $(ARGS)

down: setup ## Stop it
	@$(BIN)/biomem down

status: setup ## What runs, and how much is remembered
	@$(BIN)/biomem status

lint: dev ## Style, types and layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/yamllint --strict .

format: dev ## Let the formatter have its way
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

chromium: ## A Chromium for the browser tests, where one can be installed
	@sh tests/browser/install-chromium.sh

test: lint chromium ## All checks that a change must pass (what CI runs)
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --durations 40 --durations-min 5 -m "not slow"

test-full: lint chromium ## The same, with faults, soaks and containers
	@$(BIN)/pytest -m "slow or not slow"

faults: dev ## Kills, cuts, failovers, restores and racing writers against the pull, the long ones too
	@$(BIN)/pytest -rA -m "slow or not slow" tests/integration/faults

oracles: setup ## Hold the model against published human data
	@$(BIN)/biomem oracles

mutations: dev ## Change each number of the dbt macros and see which test notices
	@$(BIN)/python tests/parity/mutations.py $(ARGS)

bench: setup ## Measure; figures go to benchmarks/RESULTS.md
	@$(BIN)/python benchmarks/rebuild.py $(ARGS)
	@$(BIN)/python benchmarks/window.py

MINUTES ?= 60
soak: setup ## A live Airflow under load for MINUTES; figures go to OUT
	@$(BIN)/python benchmarks/soak.py --minutes $(MINUTES) $(if $(OUT),--out "$(OUT)") $(ARGS)

bench-pull: setup ## Measure a backfill against its floor, and idle polls
	@$(BIN)/python benchmarks/pull.py $(ARGS)

eval: setup ## What recall finds and forgetting keeps in DATA=folder of memories.jsonl and questions.jsonl; OUT=file.json
	@test -n "$(DATA)" || { echo "which data? make eval DATA=folder OUT=file.json"; exit 1; }
	@$(BIN)/python benchmarks/eval.py "$(DATA)" $(if $(OUT),--out "$(OUT)") $(ARGS)

docs: dev ## Draw the pictures of docs/memory-model.md
	@$(BIN)/python -m biomem.oracles.pictures

lock: $(UV) ## Renew the pins
	@$(UV) pip compile --quiet --universal --no-emit-index-url --generate-hashes --no-header --python-version 3.10 --upgrade --extra build pyproject.toml -o requirements.lock
	@$(UV) pip compile --quiet --universal --no-emit-index-url --generate-hashes --no-header --python-version 3.10 --extra build --extra dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	@$(UV) pip compile --quiet --universal --no-emit-index-url --generate-hashes --no-header --python-version 3.12 --extra build --extra server -c requirements.lock pyproject.toml -o requirements-server.lock

clean: ## Remove what was built and every local memory (var/)
	rm -rf $(VENV) var dbt/target dbt/logs
