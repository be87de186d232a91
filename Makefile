# Two commands: `make demo` and `make test`. Both make the virtual environment they need.
PYTHON ?= python3.11
VENV ?= .venv
PORT ?= 8501
CACHE ?= cache
BIN = $(VENV)/bin

.PHONY: demo app test check format clean

$(VENV)/.app: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install -r requirements.txt
	touch $@

$(VENV)/.dev: requirements-dev.txt requirements.txt $(VENV)/.app
	$(BIN)/python -m pip install -r requirements-dev.txt
	touch $@

demo: $(VENV)/.app  ## run the demo pipeline, then open the app on it
	$(BIN)/python -m sae_core run --config configs/demo.yaml --cache $(CACHE)
	@echo "Sketch SAE Lab: http://localhost:$(PORT)"
	SAE_LAB_CACHE=$(CACHE) $(BIN)/streamlit run app.py --server.port $(PORT)

app: $(VENV)/.app  ## the app alone, on whatever the cache holds
	@echo "Sketch SAE Lab: http://localhost:$(PORT)"
	SAE_LAB_CACHE=$(CACHE) $(BIN)/streamlit run app.py --server.port $(PORT)

check: $(VENV)/.dev  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: check  ## the whole suite
	$(BIN)/python -m pytest

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
