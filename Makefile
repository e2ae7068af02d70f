# Penstock's developer commands; `make help` lists them.
# Needed: git, make and Python 3.11 with venv. All else goes into .venv or is set up by
# tests/services/setup, so nothing here needs root, Docker or a GPU.

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python
# `python -m` rather than $(VENV)/bin/pip: it works however long the path of the checkout is.
PIP    := $(RUN) -m pip --disable-pip-version-check --quiet

# Extra arguments for `penstock up` and for pytest: make test ARGS="-k queue"
ARGS ?=

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# The steps of `make test` come one after the other, also under `make -j`.
.NOTPARALLEL:

# $(call step,NAME,COMMAND): says what runs, and in one line what failed.
define step
@echo "== $(1)"
@$(2) || { echo "make $(firstword $(MAKECMDGOALS)): $(1) failed, see above" >&2; exit 1; }
endef

.PHONY: help
help: ## List these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' Makefile

.PHONY: up
up: $(VENV)/.project ## Start Penstock with examples/penstock.yaml (options: ARGS="...")
	@exec $(VENV)/bin/penstock up -f examples/penstock.yaml $(ARGS)

.PHONY: test
test: $(VENV)/.test services check ## Check, then run all tests but the long ones
	$(call step,pytest,$(RUN) -m pytest -m "not long" $(ARGS))

.PHONY: test-long
test-long: $(VENV)/.test services ## Run the tests that need minutes
	$(call step,pytest -m long,$(RUN) -m pytest -m long $(ARGS))

.PHONY: services
services: ## Set up what the tests use: redis-server, Docker, the base image
	$(call step,services,tests/services/setup)

.PHONY: check
check: $(VENV)/.test ## Lint, format, types and layers, without the tests
	$(call step,ruff check,$(RUN) -m ruff check .)
	$(call step,ruff format --check (mend it with: make format),$(RUN) -m ruff format --check .)
	$(call step,mypy,$(RUN) -m mypy)
	$(call step,lint-imports,$(VENV)/bin/lint-imports)

.PHONY: format
format: $(VENV)/.test ## Format the code and mend what ruff can mend
	$(call step,ruff check --fix,$(RUN) -m ruff check --fix --exit-zero .)
	$(call step,ruff format,$(RUN) -m ruff format .)

# Leaves .penstock alone: it holds what a running or stopped Penstock knows, not a build's output.
.PHONY: clean
clean: ## Remove .venv, caches and build outputs
	rm -rf $(VENV) build dist *.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name .git -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment. The stamps in it say what is done: .created (holds the path of the checkout),
# .project (the project is installed) and .test (the tools for tests are installed as well).

# A moved checkout or a removed Python leaves an environment that no longer runs: make it anew.
ifneq ($(shell test -x $(RUN) && cat $(VENV)/.created 2>/dev/null),$(CURDIR))
.PHONY: $(VENV)/.created
endif

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: '$(PYTHON)' is not a Python 3.11 or newer." >&2; \
	  echo "  Install one (Debian 12: apt-get install python3 python3-venv, as root)," >&2; \
	  echo "  or name the one to use: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' cannot make virtual environments: its venv module is not installed." >&2; \
	  echo "  Install it (Debian: apt-get install python3-venv, as root) and run make again." >&2; exit 1; }
	@echo "== virtual environment in $(VENV)"
	@$(PYTHON) -m venv --clear $(VENV) || { \
	  echo "make: '$(PYTHON) -m venv $(VENV)' failed, see above." >&2; \
	  echo "  On Debian check that python3-venv is installed: apt-get install python3-venv, as root." >&2; \
	  exit 1; }
	@echo "$(CURDIR)" > $@

$(VENV)/.project: pyproject.toml $(VENV)/.created
	$(call step,install Penstock,$(PIP) install -e .)
	@touch $@

# `--group` came with pip 25.1; Debian 12 has 23.0. One pip run for both, so that it finds versions
# which suit the project and the tools alike.
$(VENV)/.test: pyproject.toml $(VENV)/.created
	@$(RUN) -c 'import pip, sys; sys.exit(tuple(map(int, pip.__version__.split(".")[:2])) < (25, 1))' \
	  || { echo "== upgrade pip"; $(PIP) install --upgrade "pip>=25.1"; }
	$(call step,install Penstock and the test tools,$(PIP) install -e . --group test)
	@touch $(VENV)/.project $@
