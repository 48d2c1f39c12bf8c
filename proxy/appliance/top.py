"""`sluice top`: a live view in the terminal of the admin port's /metrics and /status."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import signal
import sys
import threading
import time
import urllib.error
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.appliance.admin_client import get
from proxy.appliance.top_frame import drawn, frame
from proxy.appliance.top_rates import Change, Scrape

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "http://127.0.0.1:9464"
# DEC private modes 1049 and 25 (xterm's "Control Sequences"): alternate screen, hidden cursor.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class NoAnswer(Exception):
    """There is no answer from a Sluice admin port; the message says why."""


class Snapshot(NamedTuple):
    """The admin port's metrics and status at one time."""

    scrape: Scrape
    status: dict[str, Any]


def run(url: str, *, once: bool = False, interval: float = 2.0, token: str = "") -> int:
    """Refresh the view until interrupted, or print one frame after `interval` seconds.

    Return the exit status: 0, or 1 without an answer.
    """
    url = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
    try:
        before = fetch(url, token)
        if once:
            time.sleep(interval)
            _print(_text(url, before, fetch(url, token), ""))
        else:
            with _screen(), contextlib.suppress(KeyboardInterrupt):
                _watch(url, token, before, interval)
    except NoAnswer as error:
        print(f"sluice top: {error}", file=sys.stderr)  # noqa: T201 the command's output
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def fetch(url: str, token: str = "") -> Snapshot:
    """Fetch a snapshot. Raises `NoAnswer`."""
    try:
        status = json.loads(get(f"{url}/status", token))
        scrape = Scrape.read(get(f"{url}/metrics", token).decode(), time.monotonic())
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.UNAUTHORIZED:
            raise NoAnswer(
                f"{error.url} requires a token: set SLUICE_ADMIN_TOKEN (or …_FILE) to the server's."
            ) from error
        raise NoAnswer(
            f"{error.url} answers with {error.code}. Is this the admin port "
            "(SLUICE_ADMIN_PORT, 9464), and not the public one?"
        ) from error
    except ValueError as error:
        raise NoAnswer(f"{url} is not Sluice's admin port: {error}.") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NoAnswer(
            f"No answer from {url}: {reason}. "
            "Give the address of the admin port (SLUICE_ADMIN_PORT, 9464)."
        ) from error
    if not isinstance(status, dict) or not {"state", "workers", "upstreams"} <= status.keys():
        raise NoAnswer(f"{url}/status is not Sluice's admin port.")
    return Snapshot(scrape, status)


def _watch(url: str, token: str, before: Snapshot, interval: float) -> None:
    """Draw a frame per interval, and at once when the terminal is resized."""
    resized = threading.Event()
    signal.signal(signal.SIGWINCH, lambda *_: resized.set())
    after, note = before, "Looking for the first interval …"
    due = time.monotonic() + interval
    while True:
        _print(_text(url, before, after, note))
        if resized.wait(max(0.0, due - time.monotonic())):
            resized.clear()
            continue
        due = time.monotonic() + interval
        try:
            before, after, note = after, fetch(url, token), ""
        except NoAnswer as error:
            note = f"{error} The figures below are the last ones received."


def _text(url: str, before: Snapshot, after: Snapshot, note: str) -> str:
    """Render a frame; on a terminal it overwrites the previous one."""
    lines = frame(after.status, Change(before.scrape, after.scrape), url=url, note=note)
    if not sys.stdout.isatty():
        return "\n".join(drawn(lines)) + "\n"
    columns, rows = shutil.get_terminal_size()
    texts = drawn(lines, columns, rows, color=True)
    # Without a line feed at the end, which would scroll the screen.
    return _HOME + f"{_REST_OF_LINE}\r\n".join(texts) + _REST_OF_LINE + _REST_OF_SCREEN


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """Use the alternate screen, and restore the terminal on every exit."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not sys.stdout.isatty():
        yield
        return
    _print(_ENTER)
    try:
        yield
    finally:
        _print(_LEAVE)
