# The two commands: `make up` runs the relay, `make test` runs everything that must stay true.
# `make demo` is `make up` with simulated DayZ servers and a simulated Takaro around it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet install

.PHONY: up demo test lint types unit flows faults faults-short hostile hostile-short mutants fuzz image-test compose-test compose-here fresh-test bench docs wheel sbom pins clean

up: $(VENV)/.ready
	@$(BIN)/dayz-relay up --config relay.toml --data data

demo: $(VENV)/.ready
	@$(BIN)/dayz-relay demo

test: $(VENV)/.ready-dev lint types unit flows faults-short hostile-short compose-here

lint: $(VENV)/.ready-dev
	$(BIN)/ruff format --check services tests docs bench deploy
	$(BIN)/ruff check services tests docs bench deploy
	$(BIN)/lint-imports --no-cache

# Twice: what runs on Windows must not call what is not there.
types: $(VENV)/.ready-dev
	$(BIN)/mypy
	$(BIN)/mypy --platform win32 --no-warn-unreachable --follow-imports silent \
	    -p services.relay -p services.modapi -p services.uplink -p services.agent -p services.cli

# Pure code and single services: fast, side by side.
unit: $(VENV)/.ready-dev
	tests/install-packages
	$(BIN)/pytest -n 2 -m "not flow and not faults_short and not hostile and not compose"

# Whole processes against a real store, the simulators on both ends.
flows: $(VENV)/.ready-dev
	tests/install-packages
	$(BIN)/pytest -n 2 --dist loadfile -m flow

# The part of the fault suite that every change has to pass. Five minutes on two cores.
faults-short: $(VENV)/.ready-dev
	tests/install-packages
	$(BIN)/pytest -n 2 -m faults_short

# Strangers, floods and secrets: the short part, and with the full numbers of SECURITY.md.
hostile-short: $(VENV)/.ready-dev
	tests/install-packages
	$(BIN)/pytest -n 2 --dist worksteal tests/hostile

hostile: $(VENV)/.ready-dev
	tests/install-packages
	@mkdir -p build && rm -f build/hostile-figures.md
	HOSTILE=full HOSTILE_FIGURES=build/hostile-figures.md $(BIN)/pytest tests/hostile

# Takes each limit, and each rule of who may speak, out of a copy, and looks whether its test turns red. Ten minutes.
mutants: $(VENV)/.ready-dev
	tests/install-packages
	$(BIN)/python -m tests.hostile.mutate

# What reads hostile text, by a fuzzer that looks for ways it has not been yet. Four minutes, on Linux on x86-64.
fuzz: $(VENV)/.ready
	@$(PIP) --require-hashes -r requirements-fuzz.txt
	$(BIN)/python -m tests.hostile.fuzz reader -max_total_time=120 -max_len=4000
	$(BIN)/python -m tests.hostile.fuzz flattener -max_total_time=120 -max_len=4000

# The whole fault suite: kills, freezes, cuts and fills everything, and counts. Renews tests/faults/RESULTS.md, with
# nothing else running on this machine; some faults need root. Hours; `python -m tests.faults.run --only F4` plays one.
faults: $(VENV)/.ready-dev
	tests/install-packages
	$(BIN)/python -m tests.faults.run

# The steps of deploy/Dockerfile in a clean Debian, and its health check. As root, on Debian or Ubuntu; two minutes.
image-test: $(VENV)/.ready-dev
	tests/install-packages debootstrap
	$(BIN)/python -m tests.deploy.image

# docker-compose.yml on the engine of this machine, or on one of its own (as root, on Debian). Two to four minutes.
compose-test: $(VENV)/.ready-dev
	$(BIN)/pytest -n 0 -rs -m compose tests/deploy/test_on_an_engine.py

# The same as a part of `make test`: only where an engine answers.
compose-here: $(VENV)/.ready-dev
	@if $(BIN)/python -m tests.deploy.which_engine; then $(MAKE) compose-test; fi

# The first steps of a stranger in new roots of Debian 12 and 13: their Python, and nothing installed. As root, on Debian
# or Ubuntu; half an hour. `python -m tests.deploy.fresh --suite trixie --step demo` does one of them.
fresh-test: $(VENV)/.ready-dev
	tests/install-packages debootstrap
	$(BIN)/python -m tests.deploy.fresh

# The figures of bench/RESULTS.md, on this machine with nothing else running. Half an hour.
bench: $(VENV)/.ready-dev
	$(BIN)/python -m bench.run

# What comes from tables in the code: parts of services/ARCHITECTURE.md, docs/api.md, commands.md, metrics.md, settings.md, the
# dashboards, the egg.
docs: $(VENV)/.ready-dev
	$(BIN)/python -m docs.generate

# The wheel of the last commit in dist/. It is built twice: the same commit gives the same bytes.
wheel: $(VENV)/.ready
	@rm -rf dist/*.whl build/again
	$(BIN)/python deploy/wheel.py dist
	@$(BIN)/python deploy/wheel.py build/again
	@cmp dist/*.whl build/again/*.whl

# What is inside, for those who have to know: each pin of requirements.txt with its hashes, as CycloneDX, in dist/.
sbom: $(VENV)/.ready-dev
	@$(PIP) --require-hashes -r requirements-release.txt
	@mkdir -p dist
	$(BIN)/cyclonedx-py requirements requirements.txt --pyproject pyproject.toml --mc-type application \
	    --output-reproducible --output-format JSON --output-file dist/dayz-relay.cdx.json
	$(BIN)/pytest -q -n 0 tests/deploy/test_release.py

# Newer versions within the bounds of pyproject.toml. Needs `uv`; nobody else does.
pins:
	uv pip compile pyproject.toml --extra build --universal --python-version 3.11 --upgrade --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements.txt
	uv pip compile pyproject.toml --extra build --extra dev --universal --python-version 3.11 --upgrade --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements-dev.txt
	uv pip compile pyproject.toml --extra build --extra fuzz --universal --python-version 3.11 --upgrade --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements-fuzz.txt
	uv pip compile pyproject.toml --extra build --extra release --universal --python-version 3.11 --upgrade --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links -o requirements-release.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "dayz-relay needs Python 3.11 or newer; '$(PYTHON)' is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	    { rm -rf $(VENV); echo "Could not make $(VENV). On Debian and Ubuntu: sudo apt-get install python3-venv"; exit 1; }

$(VENV)/.ready: requirements.txt pyproject.toml | $(VENV)/bin/python
	@echo "Installing dependencies into $(VENV) ..."
	@$(PIP) --require-hashes -r requirements.txt
	@$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	@$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@
