"""`python -m bench load`: one load generator against one address, figures as JSON lines."""

from __future__ import annotations

import argparse
from typing import Any

import uvloop

from bench.load.announce import announce
from bench.load.first import FirstLoad, measure_first
from bench.load.plain import PlainLoad, PlainRun
from bench.load.streams import StreamLoad, StreamRun
from bench.load.target import Target
from bench.upstream.pace import Pace, read_pace


def pace_argument(text: str) -> Pace:
    """RATE-TOKENS-TTFT.

    Raises argparse.ArgumentTypeError.
    """
    pace = read_pace(text)
    if pace is None:
        raise argparse.ArgumentTypeError("want RATE-TOKENS-TTFT, such as 50-500-0.02")
    return pace


def add_load(parser: argparse.ArgumentParser) -> None:
    """Declares the kinds of load and their numbers."""
    kinds = parser.add_subparsers(dest="kind", required=True)
    streams = _kind(kinds, "streams", "N streams at once: delay per token", "50-500-0.02")
    streams.add_argument("--streams", type=int, default=50)
    streams.add_argument("--ramp", type=float, default=1.0)
    streams.add_argument("--settle", type=float, default=1.0)
    streams.add_argument("--window", type=float, default=5.0)
    streams.add_argument("--patience", type=float, default=10.0)
    first = _kind(kinds, "first", "one stream after the other: added TTFT", "500-3-0.005")
    first.add_argument("--requests", type=int, default=300)
    first.add_argument("--warm-up", type=int, default=20)
    first.add_argument("--patience", type=float, default=5.0)
    plain = _kind(kinds, "plain", "answers that are not streamed: requests/s", "1-20-0")
    plain.add_argument("--connections", type=int, default=32)
    plain.add_argument("--warm-up", type=float, default=1.0)
    plain.add_argument("--window", type=float, default=5.0)


def _kind(kinds: Any, name: str, about: str, pace: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = kinds.add_parser(name, help=about)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/v1/chat/completions")
    parser.add_argument("--model", default="", help="instead of one that says the pace")
    parser.add_argument("--header", action="append", default=[])
    parser.add_argument("--pace", type=pace_argument, default=pace)
    return parser


def run_load(arguments: argparse.Namespace) -> None:
    """Runs the load and says its figures."""
    announce("result", figures=_figures(arguments))


def _figures(args: argparse.Namespace) -> dict[str, Any]:
    headers = dict(header.split(": ", 1) for header in args.header)
    target = Target(args.host, args.port, args.path, args.model, headers)
    match args.kind:
        case "streams":
            streams = StreamLoad(
                args.streams, args.pace, args.ramp, args.settle, args.window, args.patience
            )
            return uvloop.run(StreamRun(target, streams).run())
        case "first":
            first = FirstLoad(args.requests, args.warm_up, args.pace, args.patience)
            return uvloop.run(measure_first(target, first))
        case _:
            plain = PlainLoad(args.connections, args.pace, args.warm_up, args.window)
            return uvloop.run(PlainRun(target, plain).run())
