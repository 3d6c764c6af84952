# The two commands of a new user; both make their own environment in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint bench retrain clean

demo: $(VENV)/hostrisk.done
	$(BIN)/hostrisk --version
	@echo; echo "== $(BIN)/hostrisk score data/demo/posts.csv --why"
	@$(BIN)/hostrisk score data/demo/posts.csv --why
	@echo; echo "== $(BIN)/hostrisk explain \"...\""
	@$(BIN)/hostrisk explain "They stole it. Time to h4ng every last one of these traitors, Saturday at noon"
	@echo; echo "== $(BIN)/hostrisk evaluate data/cases/test.csv --group capability"
	@$(BIN)/hostrisk evaluate data/cases/test.csv --group capability --resamples 200
	@echo; echo "== $(BIN)/hostrisk assess data/demo/host.csv, a made-up host"
	@$(BIN)/hostrisk assess data/demo/host.csv --name harbour.example \
		--labels data/demo/host_labels.csv --notice 2025-11-03 \
		--out demo-report --packet demo-report/evidence.zip
	@$(BIN)/hostrisk verify demo-report/evidence.zip
	@echo; echo "The report lies in $(CURDIR)/demo-report/report.html"

test: $(VENV)/test.done
	$(BIN)/python -m pytest

lint: $(VENV)/test.done
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/test.done
	$(BIN)/python tests/bench/bench_score.py
	$(BIN)/python tests/bench/bench_host.py

# make retrain [DATA=folder, file or dataset] [OUT=folder]
retrain: $(VENV)/test.done
	$(BIN)/python -m training.retrain --out $(or $(OUT),my-model) $(if $(DATA),--data $(DATA))

clean:
	rm -rf $(VENV) build dist .cache demo-report

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/hostrisk.done: $(VENV)/bin/python pyproject.toml src/hostrisk/_kernel.c
	$(BIN)/python -m pip install --quiet --editable ".[host]"
	@touch $@

$(VENV)/test.done: $(VENV)/bin/python pyproject.toml src/hostrisk/_kernel.c
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	@touch $@ $(VENV)/hostrisk.done
