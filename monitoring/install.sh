#!/bin/sh
# install.sh: prometheus and promtool for `make test-monitoring`, from the distribution, as root.
set -eu
command -v prometheus >/dev/null && command -v promtool >/dev/null && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "test-monitoring: install prometheus and promtool (as root: apt-get install prometheus)" >&2
    exit 1
fi
echo "test-monitoring: installing the distribution's prometheus" >&2
# A package must not start its service: nobody asked for a Prometheus on port 9090.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends prometheus >/dev/null
! command -v systemctl >/dev/null || systemctl disable --quiet prometheus 2>/dev/null || true
