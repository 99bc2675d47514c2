# make demo: install and run the demonstration.  make test: install and run the tests.  make lint: style and types.
# make test TORCH=torch==2.13.0 also tests what needs torch; name its version, or gigabytes for a GPU may come.
PYTHON ?= python3
TORCH ?=
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test test-oldest test-newest lint format docs linkcheck clean

demo: $(VENV)/.demo
	$(BIN)/kithkin demo --to demo

test: $(VENV)/.test
	$(BIN)/python -m pytest

# what depends most on the versions of others: what reads and writes
VERSIONED := tests/test_import.py tests/core tests/io tests/models/paris tests/test_format.py \
	tests/verbs/test_read.py tests/verbs/test_annotate.py tests/verbs/test_subset.py

# the oldest versions of everything that is needed: `make test-oldest PYTHON=python3.11`
test-oldest:
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints-oldest.txt \
		--editable . pytest pytest-xdist hypothesis pyarrow tifffile imagecodecs
	.venv-oldest/bin/python -m pytest $(VERSIONED)

# the newest versions of everything that can be had: `make test-newest PYTHON=python3.13`, and NEWEST="tests" for all
NEWEST ?= $(VERSIONED) tests/test_other_hands.py
test-newest:
	test -x .venv-newest/bin/python || $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade --upgrade-strategy eager \
		--editable '.[test]'
	.venv-newest/bin/python -m pytest $(NEWEST)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory node_modules/.installed && npx eslint src/kithkin/reports/page; \
		else echo "left out, as there is no npm: the lint of the script of pages"; fi

node_modules/.installed: package.json
	npm install --silent --no-audit --no-fund --no-package-lock
	touch $@

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# the site, in docs/_build/html; needs no network once its packages are there
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -b html -j 2 -W --keep-going docs docs/_build/html
	@echo open docs/_build/html/index.html

# links to other sites: needs a network
linkcheck: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -b linkcheck docs docs/_build/linkcheck

clean:
	rm -rf $(VENV) .venv-oldest .venv-newest node_modules demo docs/_build docs/api .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make a second run quick; a change of what is required installs again.
$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --no-compile --editable '.[test]' $(if $(TORCH),$(TORCH) safetensors pyyaml tensorboard)
	-$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib # on all cores, unlike pip; templates cannot be compiled
	touch $@ $(VENV)/.demo

$(VENV)/.docs: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) --editable '.[docs]'
	touch $@
