# Everything a contributor needs, each target complete in itself: what it lacks it installs first
# (see tools/setup), and it says what it does.

VENV := .venv
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
BINARY := $(TARGET)/release/probebook

.PHONY: help build install demo lab test test-vm bench wheel clean setup-build setup-python

help:
	@echo 'make build   the release binary, $(BINARY)'
	@echo 'make demo    notebooks/tour.ipynb through the kernel, as a page in build/'
	@echo 'make lab     JupyterLab on notebooks/'
	@echo 'make test    format check, lint, every test; what this kernel lacks in a virtual machine'
	@echo 'make test-vm the tests in the virtual machine only'
	@echo 'make bench   speed and memory, side by side with bpftrace'
	@echo 'make wheel   a wheel in build/wheel/'
	@echo 'make clean   removes what was built; .venv stays'

setup-build:
	@tools/setup build
setup-python:
	@tools/setup build python

build: setup-build
	@echo 'build: the release binary (the first time takes some minutes)'
	@cargo build --release --locked --package probebook
	@echo 'build: $(BINARY)'

# Into the virtual environment only; nothing of the user's own is touched.
install: build setup-python
	@$(BINARY) install --prefix $(VENV)

demo: install
	@$(VENV)/bin/python tools/demo notebooks/tour.ipynb

lab: install
	@echo 'lab: JupyterLab opens on notebooks/; Ctrl-C twice ends it'
	@$(VENV)/bin/jupyter lab --notebook-dir notebooks $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_OPTIONS)

# python3 and not the virtual environment's: the first thing that is tested is the setup.
test:
	@python3 tools/run-tests

# The step of `make test` that needs another kernel than this machine's: under Debian's 6.1 and 6.12 and one that is built, in qemu.
test-vm:
	@tools/setup build vm
	@python3 tools/run-tests rust release vm

bench: install
	@tools/setup bench vm
	@tests/bench/run

wheel: setup-python
	@$(VENV)/bin/maturin build --release --locked --out build/wheel

clean:
	cargo clean
	rm -rf build
