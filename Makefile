# Every target makes what it needs: a fresh machine with python3 and make will do.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2
PYTEST := $(BIN)/python -m pytest -q -p no:cacheprovider

.PHONY: help demo test test-lowest test-versions test-faults test-containers lint bench soak docs lock clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/installed: requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

demo: $(VENV)/installed ## a throw-away PostgreSQL, `migrate up` on the example, status, and `up` again
	@$(BIN)/python -m migrate.postgres.embedded -- bash examples/demo.sh $(abspath $(BIN))/migrate

test: $(VENV)/installed ## everything against the embedded server, or TEST_DATABASE_URL
	$(BIN)/coverage run -m pytest -q -p no:cacheprovider tests/core
	$(BIN)/coverage report --include='migrate/core/*' --fail-under=100
	$(PYTEST) -n $(WORKERS) --dist worksteal --ignore=tests/core --ignore=tests/faults --ignore=tests/containers -m "not versions"

test-lowest: requirements/lowest.txt ## the suite, less the example, at the lowest versions that are promised
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/lowest.txt
	$(VENV)-lowest/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(VENV)-lowest/bin/python -m pytest -q -p no:cacheprovider -n $(WORKERS) --dist worksteal \
	  --ignore=tests/faults --ignore=tests/containers --ignore=tests/example -m "not versions"

lint: $(VENV)/installed ## ruff, mypy, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(VENV)/installed ## write the pages that are made from the code
	$(BIN)/python docs/generate.py

lock: ## compile the hash-pinned requirements anew
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --extra embedded --group test --group example --group lint --group build pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --group image pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --group example pyproject.toml -o requirements/web.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --group pyproject.toml:build -o requirements/build.txt
	$(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --resolution lowest-direct --extra embedded --group test --group build pyproject.toml -o requirements/lowest.txt

bench: $(VENV)/installed ## ratios against peers in the same run; a report, no pass or fail
	$(BIN)/python -m tests.bench.bench_noop
	$(BIN)/python -m tests.bench.bench_catalog

clean: ## everything that these targets made
	rm -rf $(VENV) $(VENV)-lowest build dist
