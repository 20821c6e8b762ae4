# Each target needs nothing but python3, make and git; the first one run makes the environment.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test check format bench results lock clean

demo: $(STAMP)            ## one unlearning event on real data, with a signed report
	$(BIN)/damp demo

test: $(STAMP)            ## the whole suite, doctests included
	$(BIN)/python -m pytest

check: $(STAMP)           ## formatter, linter, types, import contract, then the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) test

format: $(STAMP)          ## what `check` would complain about, mended where a tool can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)           ## the figures of benchmarks/results, measured again
	$(BIN)/python -m benchmarks

results: $(STAMP)         ## data versions, base models, references, events, docs/results.md
	$(BIN)/dvc repro

lock: $(STAMP)            ## requirements.lock from pyproject.toml, without addresses
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --no-header \
	    --no-emit-index-url --generate-hashes --quiet -o requirements.lock

clean:                    ## the environment and all state of the demo
	rm -rf $(VENV) .damp build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# `uv` resolves and links everything in seconds; plain pip may pick a torch that torchvision
# does not fit.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	touch $(STAMP)
