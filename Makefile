# `make` lists the targets. Variables: EXP=experiment, CKPT=checkpoint, LABELS=label space, OUT=folder,
# ARGS="further options", BENCH=benchmark, SWEEP=sweep, PYTHON=interpreter.
PYTHON ?= python3
EXP ?= toyworld
BENCH ?=
SWEEP ?= epsilon
ARGS ?=
CKPT ?=
LABELS ?= kinetics400
OUT ?= runs/descriptors/$(LABELS)

VENV := .venv
READY := $(VENV)/.ready
OST := $(VENV)/bin/ost

.DEFAULT_GOAL := help
.PHONY: help setup demo app train eval ablate descriptors sweep test lint docs bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Create .venv with the package versions that the tests passed with

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY) ## Recognize unseen actions in a rendered world, without downloads, in minutes on a CPU
	$(OST) demo $(ARGS)

app: $(READY) ## Open a page that recognizes rendered videos; your own weights with ARGS="--weights runs/my"
	$(OST) app $(if $(findstring --weights,$(ARGS)),,--weights tiny) $(ARGS)

train: $(READY) ## Train an experiment: make train EXP=toyworld ARGS="--trainer.max_steps 20"
	$(OST) fit --config experiments/$(EXP).yaml $(ARGS)

eval: $(READY) ## Test an experiment: make eval EXP=toyworld CKPT=runs/toyworld/version_0/checkpoints/last.ckpt
	$(OST) test --config experiments/$(EXP).yaml $(if $(CKPT),--ckpt_path $(CKPT)) $(ARGS)

ablate: $(READY) ## Score the rows of Table 4 in one pass: make ablate EXP=toyworld CKPT=... ARGS="--table table4"
	$(OST) ablate --config experiments/$(EXP).yaml $(if $(CKPT),--ckpt_path $(CKPT)) $(ARGS)

descriptors: $(READY) ## Have an LLM write descriptors: make descriptors LABELS=kinetics400 ARGS="--model gpt-4o-mini"
	$(OST) descriptors generate --label_space $(LABELS) --output $(OUT) $(ARGS)

sweep: $(READY) ## Start a W&B sweep and an agent (after `wandb login`, or with WANDB_API_KEY): make sweep SWEEP=epsilon
	agent=$$($(VENV)/bin/wandb sweep --project ost_lightning experiments/sweeps/$(SWEEP).yaml 2>&1 | tee /dev/stderr | sed -n 's/.*Run sweep agent with: wandb agent //p') && \
	test -n "$$agent" && PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(VENV)/bin/wandb agent $$agent $(ARGS)

test: $(READY) ## Run the tests (the long ones with ARGS="-m slow")
	$(VENV)/bin/pytest -n 2 --dist loadfile $(ARGS)

lint: $(READY) ## Check style, spelling, types and the direction of imports
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/codespell
	$(VENV)/bin/lint-imports

docs: $(READY) ## Build the documentation into site/; broken links, missing references and orphan pages fail
	NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build

bench: $(READY) ## Run a benchmark: make bench BENCH=transport; without BENCH, list them
	$(VENV)/bin/python benchmarks$(if $(BENCH),/$(BENCH).py) $(ARGS)

clean: ## Delete caches and build products, but not .venv and runs/
	rm -rf build dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
