# Nothing but Python 3.10-3.13, pip and make is needed: the first target that needs it makes .venv (about 6 GB).
PYTHON ?= python3
RUN := .venv/bin/python

.DEFAULT_GOAL := help
.PHONY: help demo test bench lint types environment clean

help:  ## this list
	@grep -E '^[a-z]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## /  make \1\t/' | expand -t 24

demo: .venv/complete  ## draw the scenes, train both tasks, evaluate, write runs/demo/index.html
	@$(RUN) scripts/demo.py

test: .venv/complete  ## all tests
	@$(RUN) -m pytest -n 2

bench: .venv/complete  ## speed of training, beam search, VQA, metrics and the feature cache beside simpler code and the arithmetic alone (minutes)
	@$(RUN) -m benchmarks.train_step
	@$(RUN) -m benchmarks.beam_search
	@$(RUN) -m benchmarks.vqa_speed
	@$(RUN) -m benchmarks.cider_reward
	@$(RUN) -m benchmarks.caption_metrics
	@$(RUN) -m benchmarks.feature_cache

lint: .venv/complete  ## formatting and lint
	@$(RUN) -m ruff format --check .
	@$(RUN) -m ruff check .

types: .venv/complete  ## static types
	@$(RUN) -m mypy

environment: .venv/complete  ## only make .venv

# `complete` is touched last, so an outdated or interrupted install is done again; what an interrupted one left is not trusted.
.venv/complete: constraints.txt setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 10) <= sys.version_info[:2] <= (3, 13) else "error: Saccade needs Python \
	3.10 to 3.13, $(PYTHON) is %d.%d: name another one, as in `make PYTHON=python3.12 $(or $(MAKECMDGOALS),demo)`" % sys.version_info[:2])'
	@if [ -e .venv/incomplete ]; then rm -rf .venv; fi
	@echo "Bringing .venv up to date (the first time: some minutes, 6 GB)"
	@mkdir -p .venv && touch .venv/incomplete && $(PYTHON) -m venv .venv
	@$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	@rm .venv/incomplete && touch .venv/complete

clean:  ## remove the environment and the caches (runs/ stays)
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
