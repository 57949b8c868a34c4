# Signalbox. `make up` runs the get-started walk-through, `make test` runs every test.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: up test check fmt clean

up: $(VENV)/.runtime  ## install, then run the walk-through (real Envoy, picker, simulated servers)
	@exec $(BIN)/signalbox up examples/get-started $(ARGS)

test: $(VENV)/.dev  ## the whole test suite, but for what needs an API server
	env -u KUBECONFIG -u SIGNALBOX_KUBE_APISERVER $(BIN)/python -m pytest $(ARGS)

.PHONY: test-kubernetes
test-kubernetes: $(VENV)/.dev  ## against the API server KUBECONFIG names, or a real one built here (3 to 10 min, once; Debian, root)
	@if [ -n "$$KUBECONFIG" ]; then exec $(BIN)/python -m pytest tests/kubernetes -rs $(ARGS); fi; \
	server=$$(tests/kubernetes/apiserver/build) || exit 1; \
	SIGNALBOX_KUBE_APISERVER=$$server exec $(BIN)/python -m pytest tests/kubernetes -rs $(ARGS)

check: $(VENV)/.dev  ## style, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fmt: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: compiled test-compiled
compiled: $(VENV)/.dev  ## the package with its hot modules compiled, below build/compiled (a minute); says so where there is no C compiler
	@$(BIN)/python -m compiled || [ $$? -eq 3 ]

test-compiled: $(VENV)/.dev  ## the tests of the modules that are compiled, against that; says so where there is no C compiler
	@$(BIN)/python -m compiled; status=$$?; [ $$status -ne 3 ] || exit 0; [ $$status -eq 0 ] || exit $$status; \
	PYTHONPATH=build/compiled $(BIN)/signalbox --version | grep compiled && \
	PYTHONPATH=build/compiled exec $(BIN)/python -m pytest tests/wire tests/extproc tests/payloads tests/pool tests/scheduling tests/director tests/observability $(ARGS)

.PHONY: bench bench-peers
bench: $(VENV)/.dev  ## what a request costs: the picker beside bare transports and Envoy alone (8 min; ARGS=--quick)
	$(BIN)/python -m bench $(ARGS)

bench-peers: $(VENV)/.dev  ## the whole gateway beside sglang-router, vllm-router and litellm, installed from PyPI below bench/.peers
	$(BIN)/python -m bench.peers $(ARGS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "signalbox needs Python >= 3.11; set PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing signalbox into $(VENV) (about 20 s, once)"
	$(PIP) install -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing signalbox and its test tools into $(VENV) (about 40 s, once)"
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.runtime

.PHONY: lab lab-contest
TRACES ?= ../shared/traces
lab: $(VENV)/.dev  ## replay the traces in TRACES and make the tables and plots of docs/lab.md anew (5 to 9 min; ONLY=speed, bound, traces, what-if or published for some of them)
	$(BIN)/python -m signalbox.lab.regenerate $(TRACES) docs/lab.md $(or $(WORKERS),2) $(ONLY)

lab-contest: $(VENV)/.dev  ## every policy in every scenario of the lab: docs/lab/contest.md and the tables that draw on it (20 min; the oracle, for the lab's bound, some 20 more)
	$(BIN)/python -m signalbox.lab.contest --traces $(TRACES) --variant 14 --variant 15 --workers $(or $(WORKERS),2) --json docs/lab/contest.json
	$(BIN)/python -m signalbox.lab.contest --traces $(TRACES) --variant 0 --ablation --scenario mooncake --scenario azure-conversation --scenario azure-code --scenario shared-prefixes --workers $(or $(WORKERS),2) --json docs/lab/ablation.json
	$(BIN)/python -m signalbox.lab.contest_pages docs
	$(BIN)/python -m signalbox.lab.contest --traces $(TRACES) --variant 4 --policy least-cost --policy oracle --workers $(or $(WORKERS),2) --json docs/lab/oracle.json

.PHONY: fuzz
fuzz: $(VENV)/.dev  ## hostile traffic against the transport: FRAMES=1000000 and SEED=... choose how much and which; ENGINE=atheris needs that installed
	$(BIN)/python -m fuzz --frames $(or $(FRAMES),1000000) $(if $(SEED),--seed $(SEED)) $(if $(ENGINE),--engine $(ENGINE)) $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
