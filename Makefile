# Carina. `make demo` shows it; `make test` guards it; `make help` lists the rest.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
PURGE ?=
FORCE ?=
KUBERNETES ?=
BENCH ?=
VM ?=
RACK ?=
DOWN ?=
# Only the unit tests need hypothesis. Its plugin imports it when a run ends, which CPython before 3.11.9 may stumble over
# (python/cpython#106905).
PYTEST := $(BIN)/pytest -p no:hypothesispytest

.PHONY: help setup test-packages demo rack up down test lint unit workflows drivers e2e test-vm bench histories lock

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | column -t -s "$$(printf '\t')"

setup: ## Make the Python environment from the lock file
	@scripts/setup.sh

test-packages: setup
	@scripts/test_packages.sh

demo: $(if $(RACK),test-packages,setup) ## From nothing to a container's answer over a three-node Swarm cluster; KUBERNETES=1 for Kubernetes, RACK=3 across three hosts
	@$(BIN)/python demo/demo.py $(if $(KUBERNETES),kubernetes,swarm) $(if $(RACK),--rack $(RACK))

rack: test-packages ## Three containers as bare-metal hosts to add to a Carina, until Ctrl-C; RACK=n hosts, DOWN=1 ends it elsewhere
	@$(BIN)/python -m tests.rack $(if $(DOWN),--down) $(if $(RACK),--count $(RACK))

up: setup ## Start the service in the background
	@$(BIN)/carinad up --background

down: setup ## Stop everything and leave nothing behind; PURGE=1 removes the data too, FORCE=1 even if it has other hosts
	@$(BIN)/carinad down $(if $(PURGE),--purge) $(if $(FORCE),--force)

test: lint unit workflows drivers e2e ## Everything that guards the project

lint: setup ## Style, types, floors
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy cli/carina_cli
	$(BIN)/lint-imports

unit: test-packages ## Fast tests of logic, store, API and client
	$(BIN)/pytest tests/unit

workflows: test-packages ## Workflows on the time-skipping server, and the replay of stored histories
	$(PYTEST) tests/workflows

drivers: test-packages ## Drivers on real LXC, Docker, nftables and btrfs
	$(PYTEST) tests/drivers

e2e: test-packages ## The whole product on real parts
	$(PYTEST) tests/e2e

test-vm: setup ## Tests in an emulated machine with AppArmor, cgroup v2, ESP and WireGuard (slow); VM="tests/vm -k esp" for some
	@scripts/test_packages.sh qemu-system-x86
	@$(BIN)/python -m tests.vm $(VM)

bench: test-packages ## Measure Carina: beside shell scripts, over hosts, with a fleet; BENCH="--only fleet --quick" for a part
	@$(BIN)/python -m tests.bench $(BENCH)

histories: setup ## Record the workflow histories anew that the replay test reads
	@$(BIN)/python tests/workflows/record_histories.py

lock: setup ## Resolve the dependencies anew into requirements.lock
	@scripts/lock.sh
