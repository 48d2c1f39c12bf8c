#!/bin/sh
# apt-install.sh PACKAGE...: from the distribution, as root, and none of them starts a service.
# Fails in one line where that cannot be; whoever calls knows what else would help.
set -eu
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "setup: not installed: $* (as root, where there is apt-get: apt-get install $*)" >&2
    exit 1
fi
echo "setup: installing the distribution's $*" >&2
policy=/usr/sbin/policy-rc.d
log=$(mktemp)
made=
trap 'rm -f "$log" $made' EXIT
# Nobody asked for a web server on port 80.
if [ ! -e "$policy" ]; then
    made=$policy
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update -qq && apt-get install -y -qq --no-install-recommends "$@"; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    exit 1
fi
# Not after the next boot either.
! command -v systemctl >/dev/null || systemctl disable --quiet "$@" 2>/dev/null || true
