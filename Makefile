# Everything happens in .venv, which is made when it is missing. PYTHON names another Python: make test PYTHON=python3.12
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test quick golden check fix dist docs bench screenshots clean chromium

help:  ## this list, which plain `make` prints too
	@awk -F ':.*## ' '/^[a-z ]+:.*## / { printf "make %-12s%s\n", $$1, $$2 }' Makefile

demo: .venv/program  ## the whole chain on the embedded street scenes
	$(BIN)/p2pbench quickstart --out demo

# Tests start many processes, which would compile the same files again and again.
test quick: export PYTHONDONTWRITEBYTECODE =
BY_FILE := --dist loadfile --no-loadscope-reorder

# One process more than there are cores, since many tests wait: for browsers, clusters, servers.
test: .venv/development chromium  ## all tests but those marked slow
	$(BIN)/python -m pytest -n $$(($$(getconf _NPROCESSORS_ONLN) + 1)) $(BY_FILE)

quick: .venv/development  ## short tests without processes, browser, Ray or GPU
	$(BIN)/python -m pytest -n $$(getconf _NPROCESSORS_ONLN) $(BY_FILE) \
		-m 'not (slow or long or process or browser or ray or gpu)'

# BASE names another revision than tests/golden/base.toml does, SIZE=tiny is CI's, KEEP a folder for what was made.
golden: .venv/development  ## compare all outputs with those of an earlier revision
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.golden.compare --size $(or $(SIZE),full) $(if $(BASE),--base $(BASE)) \
		$(if $(KEEP),--keep $(KEEP))

check: .venv/development  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: .venv/development  ## mend what ruff can, then format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: .venv/development  ## source archive and wheel in dist/, tried elsewhere
	rm -rf dist
	$(BIN)/python -m build --quiet --outdir dist
	$(BIN)/python -m tests.wheel_run dist

# BEFORE names a revision that quickstart's step is compared with: make bench BEFORE=HEAD~1. Figures to keep go into
# benchmarks/RESULTS.md by hand.
bench: .venv/development chromium  ## speed, in minutes
	$(BIN)/python benchmarks/all.py $(if $(BEFORE),--before $(BEFORE))

screenshots: .venv/development chromium  ## the pictures of the README, from what make demo made
	$(BIN)/python docs/screenshots.py demo

docs: .venv/development  ## docs/api.md from the docstrings
	$(BIN)/python docs/api.py

clean:  ## forget the environment and what tools left
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist ./*.egg-info

.venv/program: .venv/made pyproject.toml
	@echo "installing p2pbench and what it needs: several GB, some minutes"
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/development: .venv/program
	@echo "installing what tests and checks need: some minutes"
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

.venv/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "p2pbench needs Python 3.11 or later; found $$($(PYTHON) --version). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || $(MAKE) --no-print-directory venv-module
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	@touch $@

# Debian and Ubuntu keep the venv module in a package of its own.
.PHONY: venv-module
venv-module:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq python3-venv; \
	else \
		echo "Python's venv module is missing. Install it: sudo apt-get install python3-venv"; exit 1; \
	fi

# The report is tested in a real browser; most tests are quicker in one that shows pages alone.
chromium:
	@has() { command -v "$$1" >/dev/null; }; \
	get() { [ "$$(id -u)" = 0 ] && has apt-get && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$$1"; }; \
	has chromium-headless-shell || get chromium-headless-shell >/dev/null 2>&1 || true; \
	has chromium || has chromium-browser || has google-chrome || get chromium \
		|| { echo "The tests need a browser. Install it: sudo apt-get install chromium"; exit 1; }
