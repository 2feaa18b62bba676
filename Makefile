# What you can do with REMOSA. `make run` needs python3 >= 3.11, make and git; on Debian, as root, the
# rest is installed; elsewhere you are told what to install.
PYTHON ?= python3
PY := .venv/bin/python
export PYTHON

.PHONY: help
help:
	@echo "make run     start REMOSA with a demo platform (PORT=8000, DEMO=1); Ctrl-C stops all of it"
	@echo "make setup   install the Python packages"
	@echo "make test    all tests, on SQLite and on PostgreSQL, with real servers"
	@echo "make lint    ruff, mypy, import layers"
	@echo "make messages  collect the strings and compile the translation (needs gettext)"
	@echo "make soak    the long forms of the tests (hours)"
	@echo "make bench   the benchmarks; ONLY=name runs one"
	@echo "make lock    compile requirements*.in again (needs uv)"

.PHONY: setup
setup: .venv/.runtime

.venv/.runtime: requirements.txt
	@scripts/setup-python runtime

.venv/.dev: requirements-dev.txt
	@scripts/setup-python dev

.PHONY: run
run: .venv/.runtime
	@exec $(PY) manage.py run

.PHONY: servers
servers:
	@scripts/setup-servers

.PHONY: test
test: .venv/.dev servers
	@scripts/test

.PHONY: soak
soak: .venv/.dev servers
	SOAK=1 $(PY) -m pytest -n 2 -m soak --timeout 14400

.PHONY: lint
lint: .venv/.dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	DEBUG=true .venv/bin/mypy # the Django plugin loads the settings
	.venv/bin/lint-imports

.PHONY: format
format: .venv/.dev
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# After changing strings: fill what is empty or fuzzy in locale/ru/LC_MESSAGES/django.po, then again.
.PHONY: messages
messages: .venv/.dev
	DEBUG=true $(PY) manage.py makemessages
	DEBUG=true $(PY) manage.py compilemessages --locale ru --ignore ".venv/*"

.PHONY: bench
bench: .venv/.dev servers
	@ONLY="$(ONLY)" nice $(PY) -m bench

UV ?= uv
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url

.PHONY: lock
lock:
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt
