# Each target needs nothing but python3, make and git; the first one run makes the environment.
PYTHON ?= python3
VENV   ?= .venv
WORKERS ?= 2
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# `long` tests need minutes: servers, kill loops, schedules, databases. A landing does not wait for
# them; run them on a quiet machine.
.PHONY: demo test test-long lint check format bench bench-method bench-operations bench-robustness \
        bench-validity bench-qualify bench-race bench-statistics bench-mutants bench-size results \
        lock check-ranges docs clean

demo: $(STAMP)            ## one unlearning event on real data, with a signed report
	$(BIN)/damp demo

test: $(STAMP)            ## the suite, doctests included, without what takes minutes
	$(BIN)/python -m pytest -m "not long" -n $(WORKERS) --dist loadfile

test-long: $(STAMP)       ## what takes minutes: servers, kill loops, schedules, databases
	$(BIN)/python -m pytest -m long --timeout 1800

lint: $(STAMP)            ## formatter, linter, types, import contract
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test          ## all that a change must pass

format: $(STAMP)          ## what `lint` would complain about, fixed where a tool can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)           ## the figures of benchmarks/results, measured again
	$(BIN)/python -m benchmarks

bench-method: $(STAMP)    ## how deep each preset forgets: hours (ARGS=--quick: ten minutes)
	$(BIN)/python -m benchmarks.method $(ARGS)

bench-operations: $(STAMP) ## schedules, kills, clusters: benchmarks/results/operations.json
	$(BIN)/python -m benchmarks.operations

bench-robustness: $(STAMP) ## fuzzing, kills, races, forgeries: benchmarks/results/robustness.json
	$(BIN)/python -m benchmarks.robustness

bench-validity: $(STAMP)  ## how often verdicts are wrong; resumable, ARGS=--quick for a first look
	$(BIN)/python -m benchmarks.validity $(ARGS)

bench-qualify: $(STAMP)   ## a qualification, events under it, all of them checked: resumable (ARGS="--data mnist5k")
	$(BIN)/python -m benchmarks.qualify $(ARGS)

bench-race: $(STAMP)      ## methods of others against ours; resumable (ARGS=--quick: ten minutes)
	$(BIN)/python -m benchmarks.race $(ARGS)

bench-size: $(STAMP)      ## memory and throughput at the size of photographs (ARGS=--quick: minutes)
	$(BIN)/python -m benchmarks.size $(ARGS)

bench-statistics: $(STAMP) ## size and power of the rules, planted leaks: benchmarks/results/statistics.md
	$(BIN)/python -m benchmarks.statistics $(ARGS)

bench-mutants: $(STAMP)   ## would the tests notice small slips? resumable (ARGS="--count 20")
	$(BIN)/python -m benchmarks.mutants $(ARGS)

results: $(STAMP)         ## data versions, base models, references, events, docs/results.md
	PATH="$(abspath $(BIN)):$$PATH" dvc repro

lock: $(STAMP)            ## requirements.lock from pyproject.toml, without addresses (ARGS=--upgrade)
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --no-header \
	    --no-emit-index-url --generate-hashes --quiet $(ARGS) -o requirements.lock

check-ranges: $(STAMP)    ## both ends of the ranges in pyproject.toml: an hour, 6 GB (ARGS=lowest)
	$(BIN)/python -m benchmarks.compatibility $(ARGS)

docs: $(STAMP)            ## the pages of docs/ as a site: build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean:                    ## the environment and all state of the demo
	rm -rf $(VENV) .damp build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

# `uv` resolves and links everything in seconds; plain pip may pick a torch that torchvision
# does not fit.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --no-deps --editable .
	touch $(STAMP)
