# Every target sets up what it needs: Python 3.11 or newer and make are enough.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --universal --python-version 3.11 \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links
LOCK := $(COMPILE) pyproject.toml --group build
RIVALS := .venv-rivals
ARGS ?=

.DELETE_ON_ERROR:
.PHONY: setup run test import-test outage-test check fmt fuzz chaos mutants simulation bench rivals lock revision

setup: $(VENV)/.installed

run: $(VENV)/.installed
	@exec $(BIN)/cartera up $(ARGS)

import-test: $(VENV)/.installed-dev
	IMPORT_ROWS=1000000 $(BIN)/python -m pytest tests/system/test_import.py -k killed

# A minute without broker, without database, with the profile service held still, under load; `make test` takes seconds.
outage-test: $(VENV)/.installed-dev
	OUTAGE_SECONDS=60 HOLD_SECONDS=60 $(BIN)/python -m pytest -s tests/system/test_outage.py tests/system/test_watermark.py

# Files side by side, then what starts whole platforms, one after the other; with ARGS only what they name.
test: $(VENV)/.installed-dev
ifeq ($(ARGS),)
	PYTHONHASHSEED=0 $(BIN)/python -m pytest tests/architecture tests/core tests/contract tests/fuzz tests/mutants tests/simulation \
		-q -n auto --dist loadfile
	$(BIN)/python -m pytest tests/system tests/chaos --durations=25
else
	$(BIN)/python -m pytest $(ARGS)
endif

check: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	PYTHONHASHSEED=0 $(BIN)/python -m pytest tests/core tests/architecture -q -n auto -m "not heavy"

fmt: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# make revision OWNER=profile WHAT="What changes": the draft of a migration, from what the tables in the code are now.
revision: $(VENV)/.installed-dev
	$(BIN)/python -m services.migrate "$(OWNER)" "$(WHAT)"
	$(BIN)/ruff format --quiet services shared

# 10,000 hostile requests to each path by which events come in; FUZZ_SEED chooses others.
fuzz: $(VENV)/.installed-dev
	FUZZ_REQUESTS=10000 $(BIN)/python -m pytest tests/fuzz $(ARGS)

# Kills, stops and restarts everything while events flow, and counts: 20 runs, more than an hour, goes on where it was.
chaos: $(VENV)/.installed-dev
	$(BIN)/python -m tests.chaos $(ARGS)

# Takes every guard of the runtime away once: a test must notice. Starts PostgreSQL and a broker; ARGS="--fast" does not.
mutants: $(VENV)/.installed-dev
	$(BIN)/python -m tests.mutants $(ARGS)

# Thousands of runs of the real loops under simulated faults; ARGS="--seed 85" plays one again.
simulation: $(VENV)/.installed-dev
	$(BIN)/python -m tests.simulation $(or $(ARGS),--seeds 2000 --places every)

bench: $(VENV)/.installed-dev rivals
	$(BIN)/python -m benchmarks $(ARGS)

# The other projects that `python -m benchmarks rivals` runs, in an environment of their own.
rivals: $(RIVALS)/.installed

$(RIVALS)/.installed: requirements/rivals.txt
	@$(PYTHON) -m venv $(RIVALS)
	@$(RIVALS)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/rivals.txt
	@touch $@

# The development lock first; the others take its versions, so that what is tested is what runs.
lock: $(VENV)/.installed-dev
	$(LOCK) --upgrade --extra sample --group dev -o requirements/dev.txt
	$(LOCK) -c requirements/dev.txt --extra sample -o requirements/sample.txt
	$(LOCK) -c requirements/dev.txt -o requirements/run.txt
	$(COMPILE) --upgrade --group rivals -o requirements/rivals.txt

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Cartera needs Python 3.11 or newer: make PYTHON=/path/to/python3 …" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
		|| { echo "Python's venv module is missing: install it (Debian: python3-venv)" >&2; exit 1; }
	@touch $@

# A stamp says that the locked packages are there; a newer lock file makes it old.
$(VENV)/.installed: $(VENV)/.created requirements/sample.txt pyproject.toml
	@echo "Installing the locked packages into $(VENV) (once) …"
	@$(PIP) install --require-hashes -r requirements/sample.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created requirements/dev.txt pyproject.toml
	@echo "Installing the locked packages and tools into $(VENV) (once) …"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $(VENV)/.installed $@
