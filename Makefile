# `make` reproduces everything, `make test` tests everything; `make help` lists the rest.
#
# CORES=8           cores for the pipeline (default: all)
# INSTALL_R=no      look for R, but never install it
# PYTHON=/path      the interpreter that makes .venv (3.11 to 3.14)
# PYTEST_ARGS=...   arguments for pytest

CORES ?= all
PYTEST_ARGS ?= -n auto --maxprocesses 8

# Snakemake does not quote the path of its interpreter when it starts a script.
ifneq ($(words $(CURDIR)),1)
$(error the folder "$(CURDIR)" has a space in its path, which Snakemake cannot run in: move it)
endif

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory
# Set-up and pipeline each use all cores by themselves, and two Snakemakes would meet at its lock.
.NOTPARALLEL:

export INSTALL_R PYTHON
# rpy2 otherwise compiles against the headers of R, which a machine need not have.
export RPY2_CFFI_MODE := ABI

VENV := .venv
INSTALLED := $(VENV)/.installed
R_LOOKED_FOR := $(VENV)/.r-looked-for
# Child processes of Snakemake find `python` and `Rscript` by name.
RUN := PATH="$$PWD/$(VENV)/bin:$$PWD/$(VENV)/r/bin:$$PATH"
SMOKE := --configfile workflow/config/smoke.yaml

##@ Reproduce

.PHONY: all
all: setup  ## set up, run the pipeline, write results/report.html (the default)
	@$(RUN) snakemake --cores $(CORES) all
	@[ results/report.html -nt results/scorecard.html ] || $(MAKE) report

.PHONY: report
report: setup  ## write results/report.html again from the results that are there
	@$(RUN) snakemake --report results/report.html -- all

.PHONY: gallery
gallery: setup  ## write the pictures of the documentation again, docs/gallery
	@$(RUN) snakemake --cores $(CORES) gallery

.PHONY: smoke
smoke: setup  ## the same pipeline on small data, about two minutes
	@$(RUN) snakemake --cores $(CORES) $(SMOKE) -- all

.PHONY: test
test: setup  ## set up and run the test suite
	@$(RUN) OMP_NUM_THREADS=1 python -m pytest $(PYTEST_ARGS)

.PHONY: bench
bench: setup  ## measure speed beside the published releases, see benchmarks/README.md
	@$(RUN) python benchmarks/run.py

##@ Set up

.PHONY: setup
setup: $(INSTALLED) $(R_LOOKED_FOR)  ## make .venv from requirements.lock, find or install R

# The stamp names its folder: an environment that was copied or moved along with the tree still
# points at the old place and is made anew.
ifneq ($(shell head -n 1 $(INSTALLED) 2>/dev/null),$(CURDIR))
.PHONY: $(INSTALLED)
endif
$(INSTALLED): requirements.lock pyproject.toml
	@setup/make-venv.sh $(VENV)
	@$(VENV)/bin/python -m pip install --disable-pip-version-check --no-input -r requirements.lock
	@$(VENV)/bin/python -m pip install --disable-pip-version-check --no-input \
		--quiet --no-deps --no-build-isolation --editable .
	@pwd -P > $@

# A stamp keeps a machine without R from trying to install it before every run.
$(R_LOOKED_FOR): $(INSTALLED) setup/install-r.sh
	@setup/install-r.sh $(VENV)
	@touch $@

.PHONY: r
r: $(INSTALLED)  ## look for R again, and install it where that is possible
	@setup/install-r.sh $(VENV)
	@touch $(R_LOOKED_FOR)

.PHONY: lock
lock:  ## rewrite requirements.lock from the versions in .venv
	@$(VENV)/bin/python setup/lock.py > requirements.lock.tmp || { rm requirements.lock.tmp; exit 1; }
	@mv requirements.lock.tmp requirements.lock

##@ Check

.PHONY: check
check: lint format-check types imports workflow-lint  ## run every gate below

.PHONY: lint
lint: setup  ## ruff: lint
	@$(RUN) ruff check

.PHONY: format-check
format-check: setup  ## ruff and snakefmt: formatting
	@$(RUN) ruff format --check
	@$(RUN) snakefmt --check Snakefile workflow

.PHONY: types
types: setup  ## mypy
	@$(RUN) mypy

.PHONY: imports
imports: setup  ## import-linter: the direction of the imports
	@$(RUN) lint-imports --no-logo

.PHONY: workflow-lint
workflow-lint: setup  ## snakemake: lint of every rule
	@$(RUN) snakemake --lint

##@ Clean

.PHONY: clean
clean:  ## delete caches; keeps data/, results/, .venv and Snakemake's records
	@rm -rf .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@rm -rf -- *.egg-info
	@find . -path ./$(VENV) -prune -o -path ./.git -prune -o -name __pycache__ -type d -exec rm -rf {} +

.PHONY: distclean
distclean: clean  ## delete .venv as well (and the R installed in it); keeps data/ and results/
	@echo "removing $(VENV)"
	@rm -rf $(VENV)

.PHONY: help
help:  ## show this list
	@awk 'BEGIN {FS = ":.*## "} \
		/^##@ / {printf "\n%s\n", substr($$0, 5)} \
		/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile
	@printf '\n'; sed -n 's/^# \([A-Z_]*=.*\)/  \1/p' Makefile
