# Every target does the set-up it needs; a fresh machine needs Python 3.11+, make and git.
# The first Python on the PATH that is new enough; choose another with PYTHON=/path/to/python.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$python" && exit; \
  done; echo python3)
UV := .uv/bin/uv
BIN := .venv/bin
STAMP := .venv/.setup-stamp

.DEFAULT_GOAL := help
.PHONY: help setup check fix test simulate demo bench torture fuzz docs clean

help:  ## Show the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: $(STAMP)  ## Create .venv with Dovetail and its tools

# uv lives in a folder of its own, so that syncing .venv cannot remove it.
$(UV):
	@$(PYTHON) scripts/bootstrap.py

$(STAMP): pyproject.toml uv.lock | $(UV)
	@echo "setup: installing Dovetail into .venv"
	@UV_PROJECT_ENVIRONMENT=.venv UV_PYTHON_DOWNLOADS=never $(UV) sync --quiet --frozen \
	  --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	@touch $@

check: $(STAMP)  ## Format, lint, types, layers, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell *.md docs src examples scripts changes

fix: $(STAMP)  ## Format and repair what can be repaired
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: $(STAMP)  ## Run every test
	$(BIN)/pytest -q

demo: $(STAMP)  ## Sync two sandbox CRMs over real HTTP, with faults and a crash
	@$(BIN)/python examples/demo.py

simulate: $(STAMP)  ## Search seeded worlds for a broken promise (SEEDS=1000 BASE=N)
	@$(BIN)/python -m dovetail.testing.simulation --seeds $(or $(SEEDS),100) $(if $(BASE),--base $(BASE))

bench: $(STAMP)  ## Measure beside peers and limits (ONLY=name for one, PUBLISH=1 into the docs)
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(PUBLISH),--publish)

torture: $(STAMP)  ## Kill a running sync 200 times and look for what was lost (KILLS=, SEED=)
	$(BIN)/python -m torture $(if $(KILLS),--kills $(KILLS)) $(if $(SEED),--seed $(SEED))

fuzz: $(STAMP)  ## Feed the parsers that face the outside with many more examples than make test does
	DOVETAIL_EXAMPLES=$(or $(EXAMPLES),3000) $(BIN)/pytest -q -m "search or not search" tests/fuzz tests/unit -k "fuzz or properties"

docs: $(STAMP)  ## Refresh the generated tables in docs/
	$(BIN)/python docs/generate.py

clean:  ## Remove environments and build output
	rm -rf .venv .uv build dist .mypy_cache .ruff_cache .pytest_cache
