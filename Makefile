# Everything a newcomer needs. `make` alone shows what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := python -m pip install --quiet --disable-pip-version-check
# MediaPipe brings another OpenCV (docs/decisions.md), so it lives apart.
JUDGE := $(VENV)-judge
PORTRAIT = portrait=$$($(BIN)/python -c \
    'import openpeople; print(openpeople.curated.get("P009").asset_path("studio_portrait"))')

.DEFAULT_GOAL := help
.PHONY: help demo test test-device soak check bench gpu-check evaluate

help:  ## show this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(VENV)/demo  ## the main job on the built-in driver: a generated portrait talks, into demo.mp4
	@$(PORTRAIT) && \
	$(BIN)/xpcam start --target "$$portrait" --camera demo --output demo.mp4 --seconds 10 --no-control \
	    --contact-sheet demo.png
	@echo "clip: $(CURDIR)/demo.mp4"
	@echo "contact sheet, driver beside output: $(CURDIR)/demo.png"

test: $(VENV)/dev  ## every test (those that need hardware say why they are skipped)
	@$(BIN)/python -m pytest

test-device: $(VENV)/dev  ## the virtual camera against the real kernel driver (Debian 12; six minutes)
	@tests/device/run.sh || [ $$? -eq 77 ]

SECONDS = 300
soak: $(VENV)/dev  ## the daemon for long, steered and harmed: memory, descriptors, rate; SECONDS=3600, SOAK="--fps 5"
	@$(BIN)/python tests/soak/soak.py --seconds $(SECONDS) $(SOAK)

check: $(VENV)/dev  ## ruff, mypy --strict, version equal to the changelog's
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@test "$$($(BIN)/xpcam version)" = "$$(sed -nE 's/^## \[([0-9.]+)\].*/\1/p' CHANGELOG.md | head -1)" || { \
	    echo "check: the version of xpcam/__init__.py is not the newest one of CHANGELOG.md" >&2; exit 1; }
	@echo "check: passed"

bench: $(VENV)/demo  ## frames per second, latency and memory on this machine
	@$(BIN)/xpcam bench

gpu-check: $(VENV)/demo  ## every engine on every device of an NVIDIA GPU, against the CPU; writes docs/gpu.md's table
	@$(BIN)/python -m engines.gpu_check

DRIVERS ?= engines/demo/demo.mp4
evaluate: $(JUDGE)/ready  ## what arrives of an expression, judged by MediaPipe; DRIVERS="a.mp4 b.mp4"
	@$(PORTRAIT) && $(JUDGE)/bin/python -m engines.evaluate --target "$$portrait" $(DRIVERS)

# Each set of packages is installed once, and again when pyproject.toml changes.
$(VENV)/demo: pyproject.toml | $(VENV)/bin/python
	@echo "installing xpcam into $(VENV); the first time downloads about 400 MB ..."
	@$(BIN)/$(INSTALL) --editable '.[demo]'
	@touch $@

$(VENV)/dev: pyproject.toml | $(VENV)/bin/python
	@echo "installing xpcam and its development tools into $(VENV); the first time downloads about 440 MB ..."
	@$(BIN)/$(INSTALL) --editable '.[dev]'
	@touch $@ $(VENV)/demo

$(JUDGE)/ready: pyproject.toml $(VENV)/demo
	@echo "installing xpcam and MediaPipe into $(JUDGE) ..."
	@$(BIN)/python -m venv $(JUDGE)
	@$(JUDGE)/bin/$(INSTALL) --editable '.[mediapipe]'
	@touch $@

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { \
	    echo "found no $(PYTHON), wanted Python 3.11 or newer: apt install python3 python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "found $$($(PYTHON) -V), wanted Python 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "$(PYTHON) cannot make virtual environments: apt install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
