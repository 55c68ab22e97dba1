# `make quickstart` and `make test` need only Python 3.11 to 3.14 and make.
# To use the CPU build of torch instead of the 5 GB CUDA build: make quickstart TORCH_INDEX=<the CPU address from pytorch.org's installation page>

PYTHON ?= python3
VENV ?= .venv
TORCH_INDEX ?=
FAULTS ?=
SOAK ?=
MYPY_FLAGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK = 1

# Each file of tests in one process, or each group of them; more at a time than two cores, since some only wait.
SIDE_BY_SIDE = --dist loadfile --no-loadscope-reorder

BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
UNUSED := /(tests?|testing|devtools|databricks|plotly|rllib|sklearn)/

# Containers: see docs/how-to/containers.md. The variables given to `make up` are saved in SETTINGS for every later command.
IMAGE ?= convnn-sweeps
DOCKER_BUILD_FLAGS ?=
SECRETS ?= docker/secrets
SETTINGS ?= docker/.env
DOWN_FLAGS ?=
NAME = $(shell printf %s '$(IMAGE)' | sed 's|:[^:/]*$$||')
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
REVISION = $(or $(shell git describe --always --abbrev=40 --dirty --exclude='*' 2>/dev/null),unknown)
# Without the paths as given: the environment overrides SETTINGS, which has the absolute paths.
COMPOSE = env -u CONVNN_SWEEPS -u CONVNN_DATA -u SECRETS docker compose --env-file '$(SETTINGS)' --file docker/compose.yaml

.PHONY: help install quickstart test test-system format lint typecheck pytest properties faults soak bench image up down docker-test gpu-test docs lock clean

help:  ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED)  ## Create the virtual environment with the locked packages.

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) docker/served.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifeq ($(TORCH_INDEX),)
	@echo "Installing requirements.lock into $(VENV), which takes some minutes without output: on Linux torch brings 5 GB of CUDA libraries."
	@echo "(See the README to use the CPU build instead.)"
	@# Two halves in parallel, because pip unpacks on one core.
	@awk -v half=$(VENV)/locked '/^[^ ]/ { n++ } { print > (half n % 2 ".txt") }' requirements.lock
	@printf '%s\n' 0 1 | xargs -P 2 -I {} $(BIN)/python -m pip install \
	    --quiet --no-deps --no-compile --require-hashes -r $(VENV)/locked{}.txt
else
	@echo "Installing requirements.lock into $(VENV), with torch from TORCH_INDEX ..."
	@awk -v pins=$(VENV)/torch.txt -f docker/cpu.awk requirements.lock > $(VENV)/others.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --index-url $(TORCH_INDEX) -r $(VENV)/torch.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-compile --require-hashes -r $(VENV)/others.txt
endif
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@# With PYTHONDONTWRITEBYTECODE set, every process would otherwise compile all its imports.
	@$(BIN)/python -m compileall -qq -j 0 -x '$(UNUSED)' $(VENV)/lib || true  # some files are templates
	@$(BIN)/python -m compileall -qq convnn search_spaces tune_jobs tests
	@touch $@

quickstart: $(INSTALLED)  ## Run the quickstart sweep: real handwritten digits, minutes on a laptop's CPU.
	$(BIN)/convnn run quickstart
	@echo "(To use convnn in this shell: . $(BIN)/activate)"

# mypy uses one core, and the tests leave some time of two.
test: $(INSTALLED) lint  ## Run lint, type checks and tests, as in CI.
	@$(MAKE) --no-print-directory --keep-going --jobs 2 typecheck pytest MYPY_FLAGS='--num-workers 0'

test-system: $(INSTALLED)  ## Test with a real browser, PostgreSQL, cluster and every fault, as root on Debian: 15 minutes.
	@missing=$$(for package in $$(cat docker/apt.txt); do \
	    dpkg-query --show --showformat '$${db:Status-Status}\n' "$$package" 2>/dev/null | grep --quiet --line-regexp installed \
	    || printf ' %s' "$$package"; done); \
	test -z "$$missing" || { root=; test "$$(id -u)" = 0 || root="sudo --non-interactive"; \
	    echo "Installing Debian's$$missing ..."; \
	    $$root apt-get update --quiet=2 && $$root env DEBIAN_FRONTEND=noninteractive \
	        apt-get install --quiet=2 --yes --no-install-recommends $$missing > /dev/null; } \
	|| { echo "make test-system needs these Debian packages; install them as root: apt-get install$$missing" >&2; exit 1; }
	$(BIN)/pytest --numprocesses 4 $(SIDE_BY_SIDE) tests/system
	$(BIN)/python -m tests.faults $(FAULTS)

format: $(INSTALLED)  ## Rewrite the code in the project's format.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(INSTALLED)  ## Check the format, lint rules and import layers.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo --no-cache

typecheck: $(INSTALLED)  ## Run mypy --strict on the packages and tests.
	$(BIN)/mypy $(MYPY_FLAGS)

pytest: $(INSTALLED)  ## Run only the tests.
	$(BIN)/pytest --numprocesses 3 $(SIDE_BY_SIDE)

properties: $(INSTALLED)  ## Test thousands of random configurations, and a kill after every commit.
	CONVNN_EXAMPLES=3000 CONVNN_EVERY_COMMIT=1 $(BIN)/pytest --numprocesses 2 tests/search_spaces/test_feasibility.py 	    tests/tune_jobs/driver/test_every_commit.py

faults: $(INSTALLED)  ## Test kills, outages and full disks many times at random moments, as root on Linux: 40 minutes.
	$(BIN)/python -m tests.faults --long $(FAULTS)

soak: $(INSTALLED)  ## 300 trials on a cluster whose nodes and driver die at random: about an hour (SOAK="--trials 30": minutes).
	$(BIN)/python -m tests.faults.soak $(SOAK)

bench: $(INSTALLED)  ## Check parity, then time the layers.
	$(BIN)/python -m benchmarks.layers

image:  ## Build the container image (needs Docker).
	DOCKER_BUILDKIT=1 docker build --file docker/Dockerfile --tag $(IMAGE) --build-arg TORCH_INDEX=$(TORCH_INDEX) \
	    --build-arg NAME=$(NAME) --build-arg VERSION=$(VERSION) --build-arg REVISION=$(REVISION) $(DOCKER_BUILD_FLAGS) .

up: image  ## Start MLflow and a Ray cluster on this machine, and wait until they answer.
	@sh docker/prepare.sh '$(SECRETS)' '$(IMAGE)' > '$(SETTINGS).partial' && mv '$(SETTINGS).partial' '$(SETTINGS)'
	$(COMPOSE) up --detach --wait --remove-orphans
	@$(COMPOSE) ps

# `rm` first: it also removes the anonymous volumes of /tmp, which `down` alone would keep.
down:  ## Stop MLflow and the cluster. Sweeps, images and MLflow's data stay (make down DOWN_FLAGS=--volumes deletes them).
	$(COMPOSE) rm --stop --force --volumes
	$(COMPOSE) down $(DOWN_FLAGS)

docker-test: $(INSTALLED)  ## Test the image and the cluster on a real Docker engine: 20 GB of disk, half an hour.
	$(BIN)/pytest -s tests/docker/containers.py

gpu-test: $(INSTALLED)  ## Test the operation, models and sweeps on an NVIDIA GPU: five minutes.
	$(BIN)/pytest -s tests/gpu/numbers.py tests/gpu/sweeps.py

docs: $(INSTALLED)  ## Build the documentation site in build/site; `make test` also builds and checks it.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "Open build/site/index.html in a browser; its search works without a server."

lock: $(INSTALLED)  ## Pin all packages again (needs uv), with hashes and without addresses.
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --upgrade \
	    --generate-hashes --no-emit-index-url --no-annotate --no-header --quiet -o requirements.lock

clean:  ## Remove the virtual environment and caches; sweeps are never touched.
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis *.egg-info build
