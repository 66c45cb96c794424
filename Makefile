# make bench   set up, train the default study's first seeds anew, publish them, and compare with the published records
# make test    set up, run all tests
# make lint    set up, check style, imports and types
# make mutants set up, change the heart's code in a thousand small ways and see which changes no test notices: hours
# make clean   remove what the others made, but for results/
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
STUDY ?= digits
SEEDS ?= 1
RESULTS ?= bench
SITE ?= bench/site

.PHONY: bench test lint mutants clean

bench: $(READY)
	$(BIN)/deadweight run $(STUDY) --first $(SEEDS) --tuning results/$(STUDY) --results $(RESULTS)
	$(BIN)/deadweight publish $(STUDY) --results $(RESULTS) --out $(SITE)
	$(BIN)/deadweight compare results/$(STUDY) $(RESULTS)/$(STUDY)

test: $(READY)
	$(BIN)/pytest --numprocesses 2 --dist loadgroup

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy

mutants: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[mutants]'
	OMP_NUM_THREADS=1 $(BIN)/mutmut run
	$(BIN)/mutmut results

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v < (3, 14) and f"deadweight needs Python 3.11 to 3.13, and $(PYTHON) is {v[0]}.{v[1]}: try make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) build mutants *.egg-info .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .hypothesis .benchmarks
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
