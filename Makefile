# Every command of the project. `make` alone lists them.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
BIKE := examples/data/bike_sharing.csv
LOCK := $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--fork-strategy fewest --no-emit-index-url --no-emit-find-links \
	--custom-compile-command "make lock" pyproject.toml

RAY := 2.60.0
# Most of the time of the tests goes to compiling, which takes half as long with these options; the
# programs are slower, and round in another way. So the slow tests of training, advice and whole
# commands have the programs that users have.
SOON := XLA_FLAGS="--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
COMPILED_SOON := tests/cli tests/custom tests/data tests/export tests/reporting tests/runtime tests/sklearn
# Compiled modules are kept, as those of an installed package are: without them each of the many
# processes that the tests and benchmarks start would compile the whole package first.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-all torch ray fmt bench quality torture regret wheel screenshots docs lock clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 13

venv: .venv/installed ## make the environment in .venv from the locked versions
.venv/installed: requirements/dev.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make venv PYTHON=...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.lock
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

demo: venv ## train on bike rentals, then print predictions beside the truth
	$(BIN)/descend train $(BIKE) --target cnt --exclude instant,dteday,casual,registered \
		--out runs/demo --force
	$(BIN)/descend predict runs/demo $(BIKE) -o runs/demo-predictions.csv
	@printf '\n%10s %5s %10s %6s\n' date hour predicted true
	@paste -d, runs/demo-predictions.csv $(BIKE) | awk -F, \
		'NR % 2000 == 19 { printf "%10s %5d %10.1f %6d\n", $$3, $$7, $$1, $$18 }'

test: venv ## check format, lint, types and import layers, then run the tests but the slow ones
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m tests.install_browser
	$(SOON) $(BIN)/pytest -n 2 -q -m "not slow"

test-all: test ## make test, then the slow tests: whole advices, kills, several processes
	$(SOON) $(BIN)/pytest -n 2 -q -m slow $(COMPILED_SOON)
	$(BIN)/pytest -n 2 -q -m slow tests $(addprefix --ignore=,$(COMPILED_SOON))

torch: venv ## install PyTorch, without which make test skips the tests of its face
	$(BIN)/pip install --quiet "$$(sed -n 's/^\(torch==[0-9.]*\).*/\1/p' requirements/bench.lock)"

ray: venv ## install Ray, without which make test-all skips the tests in a cluster
	$(BIN)/pip install --quiet "ray==$(RAY)"

fmt: venv ## format the code and sort its imports
	$(BIN)/ruff check --select I --fix .
	$(BIN)/ruff format .

.venv/bench: .venv/installed requirements/bench.lock
	$(BIN)/pip install --quiet -r requirements/bench.lock
	touch $@

bench: .venv/bench ## how fast, against the peers
	$(BIN)/python -m benchmarks

torture: venv ## does it hold under kills, faults and odd input
	$(BIN)/python -m benchmarks torture && $(BIN)/python -m benchmarks torture_processes && $(BIN)/python -m benchmarks fuzz --workers 2 --signals 300 --memory 40

quality: .venv/bench ## how good is the default model, beside boosted trees
	$(BIN)/python -m benchmarks quality $(if $(TABLES),--tables $(TABLES))

regret: .venv/bench ## how far is the advice from the best of a full sweep
	$(BIN)/python -m benchmarks regret

wheel: venv ## does the wheel work where nothing else is installed; PYTHONS="..." names interpreters
	$(BIN)/python -m benchmarks wheel --python $(or $(PYTHONS),$(PYTHON))

screenshots: venv ## pictures of every page in runs/screenshots, and those of docs/images
	$(BIN)/python -m tests.screenshots

docs: venv ## build the documentation in site/
	$(BIN)/pip install --quiet -r requirements/docs.lock
	$(BIN)/descend landscape --play --out docs/play.html
	$(BIN)/mkdocs build --strict

lock: venv ## lock the newest versions that pyproject.toml allows
	$(BIN)/pip install --quiet uv
	$(LOCK) --extra dev --generate-hashes -o requirements/dev.lock
	$(LOCK) --extra bench -c requirements/dev.lock -o requirements/bench.lock
	$(LOCK) --extra docs -c requirements/dev.lock -o requirements/docs.lock

clean: ## remove the environment, caches and built files; runs/ stays
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist site
