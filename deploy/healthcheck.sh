#!/bin/bash
# healthcheck.sh: whether the Sluice of this container is ready to take streams.
# bash speaks TCP itself: a probe every few seconds is not worth starting Python for. And /readyz
# is open without SLUICE_ADMIN_TOKEN.
set -u

# A setting from wherever it may stand: the environment, its _FILE, the file of SLUICE_CONFIG.
setting() {
    local name=SLUICE_${1^^} value
    local file=${name}_FILE
    value=${!name:-}
    if [ -z "$value" ] && [ -n "${!file:-}" ]; then
        value=$(<"${!file}")
    fi
    if [ -z "$value" ] && [ -n "${SLUICE_CONFIG:-}" ]; then
        # Up to the first table, where all names of the top stand.
        value=$(sed -n "/^ *\[/q; s/^ *$1 *= *[\"']\{0,1\}\([^\"'# ]*\).*/\1/p" "$SLUICE_CONFIG")
    fi
    echo "${value:-$2}"
}

address=$(setting admin_address 0.0.0.0)
port=$(setting admin_port 9464)
case $address in
0.0.0.0 | ::) address=127.0.0.1 ;;
esac
exec 3<>"/dev/tcp/$address/$port" || exit 1
printf 'GET /readyz HTTP/1.0\r\n\r\n' >&3
read -r _ status _ <&3
[ "$status" = 200 ]
