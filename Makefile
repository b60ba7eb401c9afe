# `make demo` shows the project, `make test` checks it, `make bench` measures it.
PYTHON ?= python3
BIN := .venv/bin
# Told on either engine; on the emulated account, which takes longer, when there is more time.
STORIES := $(addprefix tests/stories/test_,gates.py columns.py verify.py unchanged.py timelines_unchanged.py)
# Long stories of few tests first: by the number of its tests, which xdist would go by, each would be left for the end.
PYTEST := $(BIN)/pytest --numprocesses 2 --dist loadgroup --no-loadscope-reorder
PIP := $(BIN)/pip --disable-pip-version-check --quiet
# By its folder: a script beside a checkout named history_assets would find that instead of a package that a finder knows.
EDITABLE := --config-settings editable_mode=compat --editable

.PHONY: demo test test-slow bench audit clean

demo: .venv/installed
	$(BIN)/history-assets demo $(ARGS)

test: .venv/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -m "not slow" $(ARGS)

# What make test has no time for.
test-slow: .venv/installed-test
	$(PYTEST) -m slow $(ARGS)
	$(PYTEST) --engine snowflake $(STORIES)

# All parts take hours: make bench PARTS="nights clones"
bench: .venv/installed-test
	$(BIN)/python -m benchmarks $(PARTS)

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "found Python %d.%d, expected 3.11 or newer: make PYTHON=python3.11" % sys.version_info[:2])'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python setup.cfg constraints.txt
	$(PIP) install --constraint constraints.txt $(EDITABLE) .
	touch $@

.venv/installed-test: .venv/installed
	$(PIP) install --constraint constraints.txt $(EDITABLE) '.[test]'
	touch $@

# Known vulnerabilities of what is pinned; asks public databases.
audit: .venv-audit/bin/pip-audit
	$< --requirement constraints.txt --requirement deploy/constraints.txt --no-deps --disable-pip

.venv-audit/bin/pip-audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip --disable-pip-version-check --quiet install pip-audit

clean:
	rm -rf .venv .venv-audit .history .demo .backtest build ./*.egg-info
