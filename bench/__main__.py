"""The benchmark's command line: `python -m bench …`."""

from __future__ import annotations

import argparse
import contextlib

import uvloop

from bench.command_load import add_load, pace_argument, run_load
from bench.upstream.server import run as run_upstream


def main() -> None:
    """Parses the command line and does what it says."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    upstream = commands.add_parser("upstream", help="the paced upstream; prints its port")
    upstream.add_argument("--host", default="127.0.0.1")
    upstream.add_argument("--port", type=int, default=0)
    upstream.add_argument("--pace", type=pace_argument, default="50-500-0.02")
    add_load(commands.add_parser("load", help="one load generator against one address"))
    told = parser.parse_args()
    if told.command == "upstream":
        with contextlib.suppress(KeyboardInterrupt):
            uvloop.run(run_upstream(told.host, told.port, told.pace))
    else:
        run_load(told)


if __name__ == "__main__":
    main()
