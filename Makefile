# Every command of the project; `make help` lists them.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST)

$(VENV)/installed: requirements.txt constraints.txt pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

env: $(VENV)/installed  ## the environment in .venv, from the pinned requirements

book: env  ## the book in _build/html; a failed cell or a broken reference is an error
	@start=$$(date +%s); $(BIN)/jupyter-book build . -W -n --keep-going && \
	echo "Built in $$(($$(date +%s) - start)) s. Open _build/html/index.html"

test: book  ## every test; those of the site need Chromium or Chrome
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/pytest -n 2

.PHONY: help env book test
