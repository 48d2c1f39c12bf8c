"""`sluice demo`: runs the demo upstream alone."""

from __future__ import annotations

import asyncio
import logging
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvloop
from aiohttp import web

from proxy.demo import grammar_values
from proxy.demo.app import create_app, create_runner
from proxy.demo.plan import REALISTIC
from proxy.demo.settings_page import page

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_BACKLOG = 4096
_log = logging.getLogger("proxy.demo")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `sluice demo`."""
    defaults = REALISTIC
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    parser.add_argument(
        "--port", type=int, default=8100, help="port; 0 takes a free one (%(default)s)"
    )
    parser.add_argument("--unix", metavar="PATH", help="listen on this unix socket instead")
    parser.add_argument("--key", default="", help="require this API key")
    parser.add_argument(
        "--ttft",
        type=_of(grammar_values.SECONDS),
        default=defaults.ttft,
        metavar="SECONDS",
        help="time to the first token unless a request says otherwise (%(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=_of(grammar_values.NUMBER),
        default=defaults.rate,
        metavar="N",
        help="tokens per second, 0 for as fast as possible (%(default)s)",
    )
    parser.add_argument(
        "--tokens",
        type=_of(grammar_values.COUNT),
        default=defaults.tokens,
        metavar="N",
        help="tokens per answer (%(default)s)",
    )
    parser.add_argument(
        "--faults", action="store_true", help="print the page of settings and faults, and end"
    )


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. Return the exit status: 0, or 1 if it cannot listen."""
    if args.faults:
        print(page())  # noqa: T201 - the page is this command's output
        return 0
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        uvloop.run(_serve(args))
    except OSError as error:
        _log.error("The demo upstream cannot listen: %s", error)
        return 1
    if args.unix:
        Path(args.unix).unlink(missing_ok=True)
    return 0


async def _serve(args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    plan = replace(REALISTIC, ttft=args.ttft, rate=args.rate, tokens=args.tokens)
    runner = create_runner(create_app(defaults=plan, api_key=args.key))
    await runner.setup()
    try:
        _log.info("The demo upstream listens on %s", await _listen(runner, args))
        await stop.wait()
    finally:
        await runner.cleanup()


async def _listen(runner: web.AppRunner, args: argparse.Namespace) -> str:
    if args.unix:
        await web.UnixSite(runner, args.unix, backlog=_BACKLOG).start()
        return f"unix:{args.unix}"
    site = web.TCPSite(runner, args.host, args.port, backlog=_BACKLOG)
    await site.start()
    return f"http://{args.host}:{site.port}/v1"


def _of(kind: grammar_values.ValueKind) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        return kind.read(text)

    read.__name__ = kind.right
    return read
