# Everything a fresh machine needs: Python 3.11 or later, and this file. `make` alone lists the targets.

# The first of these that runs and is new enough; a version manager's shim may exist and still not run.
PYTHON ?= $(shell for each in python3.11 python3 python3.12 python3.13; do \
  $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$each && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help venv test lint demo bench bench-check profile faults simulate docs

help:
	@echo "make demo [DURATION=60s]  watch a real neural network being monitored on a real Apache Kafka"
	@echo "make test                 linters, types, layers and the whole test suite"
	@echo "make lint                 linters, types and layers alone"
	@echo "make bench [PEERS=all] [ROUNDS=3]  the join and window job, beside a bare loop and Kafka Streams (or all peers)"
	@echo "make bench-check          fails when we have lost more than 15 % against the bare loop (bench/baseline.json)"
	@echo "make profile              where the worker's CPU time goes, by stage"
	@echo "make simulate [SEEDS=10000]  workers, Kafka and clock from a seed: crashes, zombies, rebalances; an auditor"
	@echo "make faults [MINUTES=10]  kill, freeze and flood real workers and a real broker; compare every window"
	@echo "make docs                 write docs/metrics.md anew from the registry of metrics"
	@echo "make venv                 set up $(VENV) for development"

# A virtual environment that was cut off while it was made is made anew.
$(VENV)/.created:
	@test -n "$(PYTHON)" || { echo "Driftline needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# Installed again only when the requirements change: the project itself is installed as a link.
$(VENV)/.dev: $(VENV)/.created pyproject.toml constraints.txt
	@echo "installing Driftline for development into $(VENV)"
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo

$(VENV)/.demo: $(VENV)/.created pyproject.toml constraints.txt
	@echo "installing Driftline into $(VENV)"
	$(PIP) install -c constraints.txt -e '.[demo]'
	@touch $@

venv: $(VENV)/.dev

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

# Most tests wait for processes and brokers: two at a time take half as long.
test: lint
	$(BIN)/python -m pytest -n 2 --durations=15

demo: $(VENV)/.demo
	$(BIN)/driftline demo $(if $(DURATION),--duration $(DURATION))

# Peers need a JDK and Maven, or their packages from pip; what cannot be had is left out with a word.
bench: $(VENV)/.dev
	$(BIN)/python -m bench $(if $(PEERS),--peers $(PEERS)) $(if $(ROUNDS),--rounds $(ROUNDS))
	$(BIN)/python -m bench.family_cost --batch-rows 15000

bench-check: $(VENV)/.dev
	$(BIN)/python -m bench.check

profile: $(VENV)/.dev
	$(BIN)/python -m bench.stage_profile

# The first thousand seeds are those of `make test`.
simulate: $(VENV)/.dev
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),10000) --first $(or $(FIRST),1000)

faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults --minutes $(or $(MINUTES),10) $(if $(FAULTS),--faults $(FAULTS)) $(if $(SEED),--seed $(SEED))

docs: $(VENV)/.dev
	$(BIN)/python -c 'from pipeline.core.metrics.document import as_markdown; print(as_markdown(), end="")' > docs/metrics.md
