# Two commands do everything on a fresh machine: `make demo` and `make test`.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null || echo $(VENV)/uv/bin/uv)
MEDIA ?=
BENCH ?=
PARTS ?=
SOAK ?=
DEMO_HOME ?= .demo
SLOW := rebus, engine.encoders.open_clip, engine.decoding.decoder, engine.media.pictures, indexer.library, indexer.build, \
	indexer.encoder_training, indexer.heads.run, webui, alembic.command

.PHONY: install demo test fuzz soak bench-codes bench-encoder bench-index bench-learning bench-search bench-serve pictures lint lock wheel clean

install: $(VENV)/installed

# uv comes by pip, into the virtual environment's own folder, when the machine has none.
$(VENV)/installed: requirements.lock tests/clip_retrieval.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
		|| { echo "Rebus needs Python 3.11, 3.12 or 3.13; choose one with: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@command -v $(UV) >/dev/null || { $(PYTHON) -m venv $(VENV)/uv && $(VENV)/uv/bin/pip install --quiet 'uv>=0.8,<1'; }
	VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip sync --require-hashes --quiet requirements.lock
	VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip install --require-hashes --no-deps --quiet -r tests/clip_retrieval.txt
	VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip install --quiet --no-deps --no-build-isolation --editable .
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -c 'import $(SLOW)' # compiled here once, not at each start
	@touch $@

demo: install
	$(BIN)/rebus --home $(DEMO_HOME) demo $(if $(MEDIA),"$(MEDIA)")

test: install lint
	@# Compiled modules are kept for the many programs that tests start, wherever the environment says otherwise.
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/pytest -n 2 --dist worksteal

# More than 10,000 requests of schemathesis; `make test` asks a few of each kind.
fuzz: install
	FUZZ_CASES=400 $(BIN)/pytest -q -s --timeout=7200 tests/test_fuzz.py

# Twenty minutes; SOAK="--minutes 5" for less.
soak: install
	$(BIN)/python -m tests.bench.soak $(SOAK)

# The two pictures of the README, from the sample library.
pictures: install
	$(BIN)/python -m tests.browser.pictures

bench-serve: install
	$(BIN)/python -m tests.bench.serve $(BENCH)

# It needs the data beside the checkout, and an hour of one core. BENCH="--codecs additive": some of them, the others keep their last rows.
bench-codes: install
	OMP_NUM_THREADS=$${OMP_NUM_THREADS:-1} $(BIN)/python -m tests.bench.codes $(BENCH)

bench-encoder: install
	$(BIN)/python -m tests.bench.encoder $(BENCH)

# PARTS="vit small many scan first": some of them, the others keep their last rows.
bench-index: install
	$(BIN)/python -m tests.bench.index $(if $(PARTS),--parts $(PARTS)) $(BENCH)

bench-learning: install
	$(BIN)/python -m tests.bench.learning $(BENCH)

# BENCH="--size 10000 100000 1000000": all sizes; "--size 1000000 --only-build" builds alone. Its peers are installed for it, hnswlib needs a C++ compiler.
bench-search: install
	VIRTUAL_ENV=$(abspath $(VENV)) $(UV) pip install --require-hashes --quiet -r tests/bench/peers.txt
	$(BIN)/python -m tests.bench.search $(BENCH)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The lock names no index, so it works against any mirror; hashes hold the content.
lock:
	$(UV) pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-header --quiet --upgrade --output-file requirements.lock
	$(UV) pip compile --group pyproject.toml:peers --constraint requirements.lock --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-emit-find-links --no-header --quiet --output-file tests/bench/peers.txt

wheel: install
	$(UV) build --wheel --no-build-isolation --python $(BIN)/python --out-dir dist

clean:
	rm -rf $(VENV) $(DEMO_HOME) dist build
