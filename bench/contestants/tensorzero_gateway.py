"""Runs TensorZero's gateway as its Python package carries it, and writes down its port.

Started by the interpreter of TensorZero's own virtual environment: CONFIG PORT_FILE.
"""

import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import tensorzero  # type: ignore[import-not-found]

gateway = tensorzero._start_http_gateway(  # noqa: SLF001 - the only way to start it from PyPI
    config_file=sys.argv[1],
    clickhouse_url=None,
    postgres_url=None,
    valkey_url=None,
    async_setup=False,
)
Path(sys.argv[2]).write_text(str(urlsplit(gateway.base_url).port), encoding="utf-8")
signal.sigwait({signal.SIGTERM, signal.SIGINT})
gateway.close()
