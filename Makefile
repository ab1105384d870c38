# Every target prepares what it needs by itself; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv fmt lint test test-fast test-integration test-e2e test-pythons gunicorn-suite conformance soak \
	demo local cluster cluster-down bench bench-quick bench-server bench-server-quick images tools generate pins hooks \
	changelog release clean

BIN := .venv/bin
PYTEST := $(BIN)/pytest

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: ## Makes .venv from the pinned requirements (every target does)
	@scripts/bootstrap

demo: venv ## Shows the whole path on a real Kubernetes: apply an app, load it, watch it tune itself
	$(BIN)/stablehand-dev demo

local: venv ## Shows the same app under the same tuner, without any cluster, in half a minute
	$(BIN)/stablehand-dev local

cluster: venv ## Starts a Kubernetes to develop on: one that you name, kind, or one of our own
	$(BIN)/stablehand-dev cluster up

cluster-down: venv ## Takes that Kubernetes down, without a trace
	$(BIN)/stablehand-dev cluster down

images: venv ## Builds the images, and loads them into the cluster if there is one
	$(BIN)/stablehand-dev images build

fmt: venv ## Formats the code
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .

lint: venv ## Checks style, types, the layers, and that generated files are up to date
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	scripts/check-addresses

test: lint test-fast test-integration test-e2e ## Runs every check and every test; about 45 minutes once caches are warm

tools: venv ## Builds the programs that tests need (Kubernetes, Helm, etcd, Prometheus), once
	@$(BIN)/stablehand-dev cluster tools > /dev/null

test-fast: venv ## Runs the fast tests: seconds, no network, no root
	$(PYTEST) -m "not integration and not e2e" --numprocesses auto --dist worksteal

test-integration: tools ## Runs the tests with real servers under load and a real API server
	$(PYTEST) -m "integration and not soak" --numprocesses 2 --dist loadfile

test-e2e: tools ## Runs the tests on a real cluster of their own, or on an empty one that you name
	$(PYTEST) -m "e2e and not soak"

test-pythons: venv ## Runs the fast tests and live switches on every supported Python that is found; no part of make test
	scripts/test-pythons $(ARGS)

gunicorn-suite: venv ## Runs gunicorn's own tests on our arbiter, applications and workers (part of make test)
	$(PYTEST) tests/gunicorn_suite

conformance: venv ## Compares with gunicorn, case by case and class by class, into docs/conformance.md; minutes, as root
	PYTHONPATH=tests/server $(BIN)/python -m conformance --page

soak: tools ## Runs the tests that take long, and leaves what they measured in docs/soak/
	$(PYTEST) -m soak

bench: venv ## Measures the tuner beside an oracle and other servers, into docs/bench-tuner.md; hours, on a quiet machine
	PYTHONPATH=bench:dev:server:tuner $$(scripts/bench-venv) -m stablehand_bench.tuner --docs $(ARGS)

bench-quick: venv ## Runs a part of the same in under ten minutes, and only shows the results
	PYTHONPATH=bench:dev:server:tuner $$(scripts/bench-venv) -m stablehand_bench.tuner --quick $(ARGS)

bench-server: venv ## Measures what the server's metrics cost, beside others, into docs/bench-server.md; wants a quiet machine
	PYTHONPATH=bench:server:tuner $$(scripts/bench-venv) -m stablehand_bench.server --docs

bench-server-quick: venv ## Runs the same in about three minutes, and only shows the results
	PYTHONPATH=bench:server:tuner $$(scripts/bench-venv) -m stablehand_bench.server --quick

generate: venv ## Regenerates the CRD, the dashboard, the drawing of the packages, the record of gunicorn, the golden files
	$(BIN)/stablehand crd > charts/stablehand/files/wsgiapps.yaml
	$(BIN)/stablehand-dev dashboard generate
	$(BIN)/stablehand-dev architecture generate
	$(BIN)/stablehand-dev gunicorn record --new
	STABLEHAND_UPDATE_GOLDEN=1 $(PYTEST) --quiet tests/operator/test_builders.py

pins: venv ## Regenerates requirements/*.txt (make pins ARGS=--upgrade for newer versions)
	scripts/pins $(ARGS)

hooks: venv ## Installs the pre-commit hooks
	$(BIN)/pre-commit install

changelog: venv ## Shows the changelog of the next release from its fragments in changes/
	$(BIN)/towncrier build --draft --version next

release: venv ## Writes a version everywhere and the changelog from its fragments: make release VERSION=0.2.0
	@$(BIN)/stablehand-dev release "$${VERSION:?say which: make release VERSION=0.2.0}"

clean: ## Removes what was made here: .venv and the caches of tools
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
