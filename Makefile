# make demo: everything from nothing; make test: the checks; make test-all: their long forms too.
# PYTHON=python3.12 picks another Python, WORKERS=3 runs so many tests at once (many wait for
# programs that they start).
PYTHON ?= python3
EXTRAS ?= test
WORKERS ?= auto
VENV ?= .venv-$(notdir $(PYTHON))
BIN = $(VENV)/bin
comma := ,
PLAIN = $(VENV)/.installed
STAMP = $(PLAIN)-$(subst $(comma),-,$(EXTRAS))
# Large pages for what is allocated: training on a CPU takes a seventh less time (glibc 2.35 or later).
export GLIBC_TUNABLES ?= glibc.malloc.hugetlb=1
DEMO_SCENES = --num_scenes=500,40,80 --scene_size=128 --tile_size=64

.PHONY: demo docs test test-all lint install clean-demo

install: $(STAMP)

$(PLAIN): WHAT = .
$(STAMP): WHAT = .[$(EXTRAS)]
$(PLAIN) $(STAMP): setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable "$(WHAT)"
	touch $@

# What is compiled for one command serves the next.
demo: export JAX_COMPILATION_CACHE_DIR = $(CURDIR)/demo/compiled
demo: export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS = 0
demo: $(PLAIN)
	$(BIN)/python -m data_prep synthetic --task=ss --name=demo_ss --data_dir=demo/data $(DEMO_SCENES)
	$(BIN)/python -m data_prep synthetic --task=cd --name=demo_cd --data_dir=demo/data $(DEMO_SCENES)
	$(BIN)/python -m noise2map_jax.main --config=configs/demo_ss.py --workdir=demo/ss
	$(BIN)/python -m noise2map_jax.main --config=configs/demo_ss.py --workdir=demo/ss --mode=eval
	$(BIN)/python -m noise2map_jax.main --config=configs/demo_cd.py --workdir=demo/cd
	$(BIN)/python -m noise2map_jax.main --config=configs/demo_cd.py --workdir=demo/cd --mode=eval
	@echo "Look at demo/ss/report/predictions.png and demo/cd/report/predictions.png"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo

test test-all: lint
	$(BIN)/python -m pytest $(if $(filter test,$@),-m "not long") -n $(WORKERS) --dist loadfile \
		--no-loadscope-reorder --durations=10

docs:
	$(MAKE) --no-print-directory install EXTRAS=docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict
	@echo "Look at site/index.html, with python -m http.server --directory=site"

clean-demo:
	rm -rf demo
