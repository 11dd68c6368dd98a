# The commands of the course. `make lab` and `make test` each work as the first one after a clone: they need
# Python 3.11 to 3.14 (with venv), pip and make, and put everything else into .venv.
#
#   make lab PYTHON=/some/python3.12         use that interpreter for .venv
#   make lab ARGS="--no-browser --port 9000" hand further words to the program behind a target

# The first Python on the PATH that the course runs on; looked for only when .venv has to be made.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' >/dev/null 2>&1 && echo $$p && break; \
	done)
ARGS ?=
CHAPTER ?=

VENV := .venv
STAMP := $(VENV)/.installed
BEGUN := $(VENV)/.begun
BOOK := $(VENV)/.book
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check --no-input
# With .venv's programs on the PATH, as in an activated shell: `!course` in a cell finds the right one.
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/python

# Tests side by side, a process for each core (at most four: each holds torch); ARGS="-n 0" runs them one by one.
# What is in one file stays in one process, a notebook's cells among them; of the long tests each one is dealt by itself.
# A test that hangs fails after a quarter of an hour, and says where; the slowest one takes two minutes.
BOUNDED := --timeout 900
SIDE_BY_SIDE := $(BOUNDED) -n logical --maxprocesses 4 --dist

export PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD := 1

.DEFAULT_GOAL := help
.PHONY: help lab test test-slow test-browser test-gpu test-portable colab refresh book architecture bench wheels lint clean install moved

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

# A settings folder of the course's own shows Markdown rendered and keeps JupyterLab from asking about news; a
# workspace of its own keeps the tabs of other projects out. Jupyter refuses to run as root (a container) unasked.
lab: install ## open JupyterLab on the page that leads to the chapters
	JUPYTER_CONFIG_PATH="$(CURDIR)/.jupyter$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" \
	$(RUN) -m jupyterlab --LabApp.default_url=/lab/workspaces/trainers-guide/tree/chapters/index.md \
		$(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

test: install ## run the tests and the notebooks
	$(RUN) -m pytest --nbval $(SIDE_BY_SIDE) loadfile $(ARGS)

test-slow: install ## run the long tests: kills, fuzzing, two processes
	$(RUN) -m pytest -m slow $(SIDE_BY_SIDE) loadgroup tests $(ARGS)

test-browser: install ## drive JupyterLab in a real Chromium, which must be installed
	$(RUN) -m pytest -m browser $(BOUNDED) tests/browser $(ARGS)

test-gpu: install ## run what needs a CUDA card or Apple's GPU
	$(RUN) -m pytest -m gpu tests $(ARGS)

test-portable: install ## run the notebooks, and the tests that hold numbers, as several machines would
	$(RUN) tests/portable.py $(ARGS)

colab: install ## run the chapters as Colab would: its versions, a wheel, nothing replaced: make colab ARGS="05"
	$(RUN) tests/colab.py $(ARGS)

refresh: install ## run a chapter afresh, store its outputs, show what changed: make refresh CHAPTER=05
	$(RUN) -m course_lib.notebook "$(CHAPTER)"

# The book's packages are many, so only this target installs them.
book: $(BOOK) ## build the book into _build/html, from the stored outputs: no warning is let through
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" jupyter-book build . -W -n --all --keep-going $(ARGS)

$(BOOK): $(STAMP)
	$(PIP) install -c constraints.txt -e '.[lab,test,book]' && $(PIP) check
	@touch $@

architecture: install ## draw the library's floors anew into chapters/architecture.md
	$(RUN) tests/architecture.py

bench: install ## measure speed on this machine
	$(RUN) -m course_lib bench $(ARGS)

# What a machine with a card may lack beside its own torch: enough for course_lib.bench and for the tests on a card.
# pip takes platforms literally, so several are named: make wheels DIR=w PLATFORM="manylinux_2_28_aarch64".
DIR ?=
PYTHON_VERSION ?= 3.12
PLATFORM ?= $(foreach n,2_34 2_31 2_28 2_27 2_17,manylinux_$(n)_x86_64) manylinux2014_x86_64
WHEELS ?= numpy safetensors tqdm filelock pytest

wheels: install ## gather wheels for a machine without an index: make wheels DIR=path
	@test -n "$(DIR)" || { echo "Name a folder for the wheels: make wheels DIR=path" >&2; exit 1; }
	$(PIP) download --only-binary=:all: --implementation cp --python-version $(PYTHON_VERSION) \
		$(PLATFORM:%=--platform %) -c constraints.txt -d "$(DIR)" $(WHEELS) $(ARGS)

lint: install ## check style, and that the installed packages fit together
	$(RUN) -m ruff check $(ARGS) .
	$(PIP) check

clean: ## remove caches and build output; .venv, .colab, data and runs stay
	rm -rf _build build dist *.egg-info .pytest_cache .hypothesis .ruff_cache
	find . \( -path ./$(VENV) -o -path ./.colab \) -prune -o -type d \( -name __pycache__ -o -name .ipynb_checkpoints \) -prune -exec rm -rf {} +

install: $(STAMP) ## make .venv and install everything (the other targets do it by themselves)

# The stamp is written last, and holds the folder it was made in: a checkout that was moved or copied needs its
# environment made anew. An installation that was cut off can leave half a package that pip takes for a whole one,
# so it is begun afresh; one that pip itself gave up (no network, say) did no harm and is simply tried again.
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "The course needs Python 3.11, 3.12, 3.13 or 3.14, and none was found on the PATH." \
		"Install one, or name it: make lab PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' || { \
		echo "The course needs Python 3.11, 3.12, 3.13 or 3.14, and $(PYTHON) is $$($(PYTHON) -V 2>&1 || :)." \
		"Name another: make lab PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) has no venv module." \
		"On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@if test -e $(BEGUN) || ! $(VENV)/bin/python -m pip --version >/dev/null 2>&1; then \
		$(PYTHON) -m venv --clear $(VENV); fi
	@echo "Installing the course into $(VENV). The first time this takes a minute or more, most of it for PyTorch."
	@touch $(BEGUN)
	trap 'exit 130' INT; { $(PIP) install -c constraints.txt torch && \
		$(PIP) install -c constraints.txt -e '.[lab,test]' && $(PIP) check; } || { rm -f $(BEGUN); exit 1; }
	@rm -f $(BEGUN)
	@pwd -P > $@

ifneq ($(wildcard $(STAMP)),)
ifneq ($(shell cat $(STAMP)),$(shell pwd -P))
$(STAMP): moved
moved:
	rm -rf $(VENV)
endif
endif
