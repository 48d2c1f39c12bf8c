"""The command line: `sluice …`, or `python -m proxy …`.

Each command imports only the modules that it needs, so that workers start fast.
"""

# ruff: noqa: PLC0415, T201 - commands load late, and print for people
from __future__ import annotations

import argparse
import functools
import gc
import os
import sys
from typing import TYPE_CHECKING

from proxy.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.settings import Settings

BAD_SETTINGS = 2
_CLOSED_PIPE = 141
"""The status that a shell reports for a program that SIGPIPE ended."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Return its exit status: 2 for invalid settings or arguments."""
    given_arguments = sys.argv[1:] if arguments is None else list(arguments)
    parser = argparse.ArgumentParser("sluice", description="An edge gateway for LLM streams.")
    parser.add_argument("--version", action="version", version=f"sluice {VERSION}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    # Only the chosen command declares its options: that imports its module.
    for name, (text, declare) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if given_arguments[:1] == [name]:
            declare(command)
    chosen = parser.parse_args(given_arguments)
    run: Callable[[argparse.Namespace], int] = chosen.run
    try:
        status = run(chosen)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has closed the pipe (`sluice check | head`). Python would report it again when
        # it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _CLOSED_PIPE
    return status


def _starts_without_gc(
    command: Callable[[argparse.Namespace], int],
) -> Callable[[argparse.Namespace], int]:
    """Disable garbage collection until the command, a server, has started and enables it.

    Nearly all objects that the start makes stay. To search them for garbage again and again takes
    an eighth of the start, and so of the time until a killed worker is back.
    """

    @functools.wraps(command)
    def run(chosen: argparse.Namespace) -> int:
        gc.disable()
        try:
            return command(chosen)
        finally:
            gc.enable()

    return run


def _declare_run(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_run)


@_starts_without_gc
def _run(_chosen: argparse.Namespace) -> int:
    def serve(settings: Settings) -> int:
        from proxy.appliance import supervisor

        gc.enable()
        if "log_format" not in settings.model_fields_set and sys.stderr.isatty():
            # A person reads the log. The children, which write to pipes, cannot detect that.
            os.environ["SLUICE_LOG_FORMAT"] = "console"
            settings = settings.model_copy(update={"log_format": "console"})
        return supervisor.run(settings)

    return _with_settings(serve)


def _declare_worker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--unix", metavar="PATH", help="listen on this unix socket")
    parser.add_argument("--host", help="address to listen on (SLUICE_LISTEN_ADDRESS)")
    parser.add_argument("--port", type=int, help="port to listen on (SLUICE_LISTEN_PORT)")
    parser.add_argument("--index", type=int, default=0, help="which of the workers this is")
    parser.add_argument(
        "--workers", type=int, default=1, help="number of workers that share the limits"
    )
    parser.add_argument("--behind-nginx", action="store_true", help="nginx answers for CORS")
    # Set by the supervisor: the worker's socket, the pipe for its heartbeat, and the settings.
    parser.add_argument("--listen-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--heartbeat-fd", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--settings-fd", type=int, help=argparse.SUPPRESS)
    parser.set_defaults(run=_worker)


@_starts_without_gc
def _worker(chosen: argparse.Namespace) -> int:
    def serve(settings: Settings) -> int:
        from contextlib import nullcontext

        from proxy.appliance import standalone_store
        from proxy.edge import malloc_trim, worker

        # Before any thread starts; reading the store's output starts one.
        malloc_trim.use_one_arena()
        inherited = None
        shares = chosen.behind_nginx or chosen.listen_fd is not None or chosen.workers > 1
        if chosen.listen_fd is not None and chosen.heartbeat_fd is not None:
            inherited = worker.Inherited(chosen.listen_fd, chosen.heartbeat_fd, chosen.settings_fd)
        # Workers that share limits need a common store, which is set by whoever starts them.
        with (
            nullcontext(settings) if shares else standalone_store.with_store(settings) as with_store
        ):
            return worker.run(
                with_store,
                unix=chosen.unix,
                host=chosen.host,
                port=chosen.port or settings.listen_port,
                index=chosen.index,
                workers=chosen.workers,
                behind_nginx=chosen.behind_nginx,
                inherited=inherited,
                as_set=settings,
            )

    if chosen.settings_fd is not None:
        from proxy import shared_settings

        settings = shared_settings.read(chosen.settings_fd)[1]
        # The supervisor may give one worker fewer slots.
        slots = int(os.environ.get("SLUICE_MAX_STREAMS", settings.max_streams))
        return serve(settings.model_copy(update={"max_streams": slots}))
    return _with_settings(serve)


def _declare_demo(parser: argparse.ArgumentParser) -> None:
    from proxy.demo import command

    command.add_arguments(parser)
    parser.set_defaults(run=command.run)


def _declare_check(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(run=_check)


def _check(_chosen: argparse.Namespace) -> int:
    def show(settings: Settings) -> int:
        from proxy.appliance import check

        return check.run(settings, BAD_SETTINGS)

    return _with_settings(show)


def _declare_keys(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    text = "Create a key; it is shown only once."
    new = actions.add_parser("new", help=text, description=text)
    new.add_argument("name", metavar="NAME", help="whose key it is")
    new.set_defaults(run=_keys_new)
    text = "List the configured keys and their limits."
    actions.add_parser("list", help=text, description=text).set_defaults(run=_keys_list)


def _keys_new(chosen: argparse.Namespace) -> int:
    from proxy import keys_command

    return keys_command.new(chosen.name)


def _keys_list(_chosen: argparse.Namespace) -> int:
    from proxy import keys_command

    return _with_settings(keys_command.listed)


def _declare_selftest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="where clients reach Sluice")
    parser.set_defaults(run=_selftest)


def _selftest(chosen: argparse.Namespace) -> int:
    from proxy.appliance import selftest

    return selftest.run(chosen.url)


def _declare_top(parser: argparse.ArgumentParser) -> None:
    from proxy.appliance import top

    parser.add_argument("url", metavar="URL", nargs="?", default=top.URL, help="the admin port")
    parser.add_argument("--once", action="store_true", help="print one frame and end")
    parser.add_argument(
        "--interval", type=_seconds, default=2.0, metavar="SECONDS", help="between two frames"
    )
    parser.set_defaults(run=_top)


def _top(chosen: argparse.Namespace) -> int:
    from proxy import config
    from proxy.appliance import top

    try:
        token = config.admin_token()
    except config.BadSettings as error:
        print(f"sluice: the settings are invalid.\n{error}", file=sys.stderr)
        return BAD_SETTINGS
    return top.run(chosen.url, once=chosen.once, interval=chosen.interval, token=token)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 3600:
        raise argparse.ArgumentTypeError("seconds, from 0.1 to 3600")
    return value


def _with_settings(use: Callable[[Settings], int]) -> int:
    from proxy import config

    try:
        settings = config.load()
    except config.BadSettings as error:
        print(f"sluice: the settings are invalid.\n{error}", file=sys.stderr)
        return BAD_SETTINGS
    return use(settings)


_COMMANDS: dict[str, tuple[str, Callable[[argparse.ArgumentParser], None]]] = {
    "run": (
        "Run the appliance: nginx, the workers, and the store and the demo upstream if needed.",
        _declare_run,
    ),
    "worker": ("Run one worker: a complete gateway without nginx.", _declare_worker),
    "demo": ("Run the demo upstream with its fault kit.", _declare_demo),
    "check": (
        "Check the settings and the files they name; print them, secrets masked.",
        _declare_check,
    ),
    "keys": ("Create client keys, and list the configured ones.", _declare_keys),
    "selftest": ("Find out whether something in front of Sluice buffers.", _declare_selftest),
    "top": ("Watch a running Sluice from its admin port.", _declare_top),
}


if __name__ == "__main__":
    sys.exit(main())
