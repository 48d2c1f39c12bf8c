"""The benchmark's command line: `python -m bench …`."""

from __future__ import annotations

import argparse
import contextlib
import signal

import uvloop

from bench.command_load import add_load, pace_argument, run_load
from bench.command_run import add_report, add_run, run_report, run_run
from bench.guard.command import add_guard, run_guard
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
    add_run(commands.add_parser("run", help="the benchmark"))
    add_report(commands.add_parser("report", help="table of an earlier run, anew"))
    add_guard(commands.add_parser("guard", help="instructions per token against the figure"))
    args = parser.parse_args()
    # Ended from outside, it still ends what it started.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        _run(args)


def _run(args: argparse.Namespace) -> None:
    match args.command:
        case "upstream":
            uvloop.run(run_upstream(args.host, args.port, args.pace))
        case "load":
            run_load(args)
        case "run":
            run_run(args)
        case "report":
            run_report(args)
        case _:
            run_guard(args)


if __name__ == "__main__":
    main()
