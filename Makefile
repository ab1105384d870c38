# Every target prepares what it needs; `make help` lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help venv fmt lint test test-fast test-integration test-e2e test-pythons gunicorn-suite conformance soak \
	demo local cluster cluster-down bench bench-quick bench-hazards bench-changing bench-server bench-server-quick \
	bench-machines images tools generate pins hooks changelog release clean

BIN := .venv/bin
PYTEST := $(BIN)/pytest

help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  \033[1m%-18s\033[0m %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: ## Creates .venv from the pinned requirements (every target does)
	@scripts/bootstrap

demo: venv ## Runs the demo on a real Kubernetes cluster: apply an app, load it, watch it tune itself
	$(BIN)/stablehand-dev demo

local: venv ## Runs the same app under the same tuner without a cluster, in half a minute
	$(BIN)/stablehand-dev local

cluster: venv ## Starts a Kubernetes cluster for development: one that you name, kind, or a one-node cluster
	$(BIN)/stablehand-dev cluster up

cluster-down: venv ## Removes that cluster completely
	$(BIN)/stablehand-dev cluster down

images: venv ## Builds the images, and loads them into the cluster if one is up
	$(BIN)/stablehand-dev images build

fmt: venv ## Formats the code
	$(BIN)/ruff check --quiet --fix-only .
	$(BIN)/ruff format .

lint: venv ## Checks style, types and the layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	scripts/check-addresses

test: lint test-fast test-integration test-e2e ## Runs every check and every test; about 40 minutes once caches are warm

tools: venv ## Builds or fetches the programs that tests need (Kubernetes, Helm, etcd, Prometheus), once
	@$(BIN)/stablehand-dev cluster tools > /dev/null

test-fast: venv ## Runs the fast tests: seconds, no network, no root
	$(PYTEST) -m "not integration and not e2e" --numprocesses auto --dist worksteal

test-integration: tools ## Runs the tests with real servers under load and a real API server
	$(PYTEST) -m "integration and not soak" --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-e2e: tools ## Runs the tests on a real cluster of their own, or on an empty one that you name
	$(PYTEST) -m "e2e and not soak"

test-pythons: venv ## Runs the fast tests and live switches on every supported Python found; not part of make test
	scripts/test-pythons $(ARGS)

gunicorn-suite: venv ## Runs gunicorn's own tests on our arbiter, applications and workers (part of make test)
	$(PYTEST) tests/gunicorn_suite

conformance: venv ## Compares the server with gunicorn by case and class, into docs/conformance.md; minutes, as root
	PYTHONPATH=tests/server $(BIN)/python -m conformance --page

soak: tools ## Runs the long tests, and writes what they measured to docs/soak/
	$(PYTEST) -m soak

bench: venv ## Compares the tuner with an oracle and other servers, into docs/bench-tuner.md; hours, on a quiet machine
	PYTHONPATH=bench:dev:server:tuner $$(scripts/bench-venv) -m stablehand_bench.tuner --docs $(ARGS)

bench-quick: venv ## Runs part of the same in under ten minutes, and only prints the results
	PYTHONPATH=bench:dev:server:tuner $$(scripts/bench-venv) -m stablehand_bench.tuner --quick $(ARGS)

bench-hazards: venv ## Compares the tuner with static settings on apps that these can break, into docs/bench-hazards.md
	PYTHONPATH=bench:dev:server:tuner $$(scripts/bench-venv) -m stablehand_bench.hazards --docs $(ARGS)

bench-changing: venv ## Compares the tuner with static settings under loads that change, into docs/bench-changing.md
	PYTHONPATH=bench:dev:server:tuner $$(scripts/bench-venv) -m stablehand_bench.changing --docs $(ARGS)

bench-server: venv ## Measures the cost of the server's metrics, into docs/bench-server.md; needs a quiet machine
	PYTHONPATH=bench:server:tuner $$(scripts/bench-venv) -m stablehand_bench.server --docs

bench-machines: venv ## Computes the tuner on simulated machines of up to 64 cores, into docs/bench-machines.md; two minutes
	PYTHONPATH=bench:simulator:tuner $$(scripts/bench-venv) -m stablehand_bench.machines --docs

bench-server-quick: venv ## Runs the same in about three minutes, and only prints the results
	PYTHONPATH=bench:server:tuner $$(scripts/bench-venv) -m stablehand_bench.server --quick

generate: venv ## Regenerates the CRD, the dashboard, the package diagram, the record of gunicorn, the golden files
	$(BIN)/stablehand crd > charts/stablehand/files/wsgiapps.yaml
	$(BIN)/stablehand-dev dashboard generate
	$(BIN)/stablehand-dev architecture generate
	$(BIN)/stablehand-dev gunicorn record --new
	STABLEHAND_UPDATE_GOLDEN=1 $(PYTEST) --quiet tests/operator/test_builders.py

pins: venv ## Regenerates requirements/*.txt (make pins ARGS=--upgrade for newer versions)
	scripts/pins $(ARGS)

hooks: venv ## Installs the pre-commit hooks
	$(BIN)/pre-commit install

changelog: venv ## Prints the next release's changelog from the fragments in changes/
	$(BIN)/towncrier build --draft --version next

release: venv ## Updates the version everywhere, and the changelog from its fragments: make release VERSION=0.2.0
	@$(BIN)/stablehand-dev release "$${VERSION:?is needed: make release VERSION=0.2.0}"

clean: ## Removes .venv and the caches of tools
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
