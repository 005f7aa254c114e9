# Two commands do everything: `make demo` and `make test`. The rest is for daily work.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready
# Stands at a time in tests; each keeps a core busy.
STANDS ?= 2
# Tests that share a stand run in one process, those that take longest first (tests/conftest.py).
BY_STAND := --dist loadgroup --no-loadscope-reorder
# Where those are (tests/conftest.py holds to it): reading all other tests takes as long as a stand takes to come up.
HAVE_STANDS := tests/contracts tests/integration tests/e2e

.PHONY: demo test test-kube kube check format soak bench-gates lock clean

$(STAMP): requirements.lock pyproject.toml tools/setup.sh
	@PYTHON="$(PYTHON)" sh tools/setup.sh "$(VENV)"
	@touch $@

demo: $(STAMP) ## a good release promoted, a bad one taken back, on a stand of its own
	@$(BIN)/croupier demo $(ARGS)

test: check ## everything: lint, types, import contracts, unit to end-to-end; a part: ARGS="-k journal"
ifeq ($(ARGS),)
	$(BIN)/pytest -n 2 -m "not stand and not kube"
	$(BIN)/pytest -n $(STANDS) $(BY_STAND) -m stand $(HAVE_STANDS)
else  # in one run: pytest calls it an error when nothing is chosen
	$(BIN)/pytest -n 2 $(BY_STAND) -m "not kube" $(ARGS)
endif

kube: $(STAMP) ## build the cluster for tests, once: about a quarter of an hour and 11 GB of caches; Go, Debian packages
	$(BIN)/python -m tools.kube_stand build

test-kube: $(STAMP) ## the tests on a real cluster of their own (as root), or: ARGS="--kube-context NAME"
	$(if $(findstring --kube-context,$(ARGS)),,$(BIN)/python -m tools.kube_stand build)
	$(BIN)/pytest -m kube tests/kube tests/contracts $(ARGS)

check: $(STAMP) ## lint, types and import contracts only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

RUNS ?= 3
AA ?= 10
soak: $(STAMP) ## every defect, fault and drill RUNS times, AA healthy releases; RUNS=10 AA=20 overnight; ARGS="--only LABEL,…"
	$(BIN)/croupier stand soak --repeat $(RUNS) $(if $(findstring --only,$(ARGS)),,--healthy $(AA)) $(ARGS)

bench-gates: $(STAMP) ## how often good releases are taken back and what bad ones cost, simulated and seeded; ARGS="--runs 2000"
	$(BIN)/python bench/gates.py $(ARGS)

lock: $(STAMP) ## refresh requirements.lock (needs uv on the PATH)
	uv pip compile -q pyproject.toml --universal --all-extras --group dev --generate-hashes --no-annotate --no-header \
	  --python-version 3.11 -U -o requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
