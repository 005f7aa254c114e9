# Two commands do everything: `make demo` and `make test`. The rest is for daily work.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.ready

.PHONY: demo test check format soak lock clean

$(STAMP): requirements.lock pyproject.toml tools/setup.sh
	PYTHON="$(PYTHON)" sh tools/setup.sh "$(VENV)"
	@touch $@

demo: $(STAMP) ## a good release promoted, a bad one taken back, on a stand of its own
	$(BIN)/croupier demo $(ARGS)

test: check ## everything: lint, types, import contracts, unit to end-to-end
	$(BIN)/pytest -n 2 -m "not stand" $(ARGS)
	$(BIN)/pytest -m stand $(ARGS)

check: $(STAMP) ## lint, types and import contracts only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

soak: $(STAMP) ## every defect three times and ten healthy releases; about two hours
	$(BIN)/croupier stand soak $(ARGS)

lock: $(STAMP) ## refresh requirements.lock (needs uv on the PATH)
	uv pip compile -q pyproject.toml --all-extras --group dev --generate-hashes --no-annotate --no-header \
	  --python-version 3.11 -U -o requirements.lock

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
