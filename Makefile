# Two commands: `make demo` and `make test`. Both make the virtual environment they need.
PYTHON ?= python3.11
VENV ?= .venv
PORT ?= 8501
CACHE ?= cache
WORKERS ?= 2
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

# Serially, without the first of the two lines' options: `python -m pytest`. A worker computes on one thread, since the
# others have work of their own.
test: check  ## the whole suite: what measures time or memory after the rest, alone
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not alone"
	$(BIN)/python -m pytest -m alone

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
