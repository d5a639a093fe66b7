# `make quickstart` and `make test` do all the set-up on a fresh machine.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: quickstart test lint types contracts unit docs bench known-answers clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

quickstart: $(STAMP)
	$(BIN)/brainreel quickstart --out quickstart

test: lint types contracts unit

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

contracts: $(STAMP)
	$(BIN)/lint-imports

unit: $(STAMP)
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --durations 10

docs: $(STAMP)
	$(BIN)/python docs/run_docs.py

bench: $(STAMP)
	for name in prepare film_decoding ridge n_way transformers volumes; do $(BIN)/python benchmarks/$$name.py || exit 1; done

known-answers: $(STAMP)
	$(BIN)/python benchmarks/known_answers.py --write docs/models/known-answers.md

clean:
	rm -rf $(VENV) quickstart .mypy_cache .ruff_cache .pytest_cache
