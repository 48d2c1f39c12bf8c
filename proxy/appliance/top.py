"""`sluice top`: a live view in the terminal, from the admin port's /metrics and /status."""

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
from proxy.appliance.top_figures import Change, Scrape
from proxy.appliance.top_frame import drawn, frame

if TYPE_CHECKING:
    from collections.abc import Iterator

URL = "http://127.0.0.1:9464"
# DEC private modes 1049 and 25 (xterm's "Control Sequences"): a screen of its own, no cursor.
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _REST_OF_LINE, _REST_OF_SCREEN = "\x1b[H", "\x1b[K", "\x1b[J"


class NoAnswer(Exception):
    """Nobody answers as Sluice's admin port does; the text says why."""


class Look(NamedTuple):
    """What the admin port said at one moment."""

    scrape: Scrape
    status: dict[str, Any]


def run(url: str, *, once: bool = False, interval: float = 2.0, token: str = "") -> int:
    """Show what happens until interrupted, or one frame of one interval (seconds).

    Returns the exit status: 0, or 1 where nothing answers.
    """
    url = url.rstrip("/") if "://" in url else f"http://{url.rstrip('/')}"
    try:
        before = look(url, token)
        if once:
            time.sleep(interval)
            _print(_text(url, before, look(url, token), ""))
        else:
            with _screen(), contextlib.suppress(KeyboardInterrupt):
                _watch(url, token, before, interval)
    except NoAnswer as error:
        print(f"sluice top: {error}", file=sys.stderr)  # noqa: T201 the command's output
        return 1
    except KeyboardInterrupt:
        return 0
    return 0


def look(url: str, token: str = "") -> Look:
    """Ask once. Raises `NoAnswer`."""
    try:
        status = json.loads(get(f"{url}/status", token))
        scrape = Scrape.read(get(f"{url}/metrics", token).decode(), time.monotonic())
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.UNAUTHORIZED:
            raise NoAnswer(
                f"{error.url} wants its token: set SLUICE_ADMIN_TOKEN (or …_FILE) as it has it."
            ) from error
        raise NoAnswer(
            f"{error.url} answers with {error.code}. Is this the admin port "
            "(SLUICE_ADMIN_PORT, 9464), and not the public one?"
        ) from error
    except ValueError as error:
        raise NoAnswer(f"What answers at {url} is not Sluice's admin port: {error}.") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise NoAnswer(
            f"Nothing answers at {url}: {reason}. "
            "Give the address of the admin port (SLUICE_ADMIN_PORT, 9464)."
        ) from error
    if not isinstance(status, dict) or not {"state", "workers", "upstreams"} <= status.keys():
        raise NoAnswer(f"What answers at {url}/status is not Sluice's admin port.")
    return Look(scrape, status)


def _watch(url: str, token: str, before: Look, interval: float) -> None:
    """Draw a frame for each interval, and at once when the window changes its size."""
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
            before, after, note = after, look(url, token), ""
        except NoAnswer as error:
            note = f"{error} What follows is the last that was heard."


def _text(url: str, before: Look, after: Look, note: str) -> str:
    """A whole frame, ready to be written; on a terminal it overwrites the one before."""
    lines = frame(after.status, Change(before.scrape, after.scrape), url=url, note=note)
    if not sys.stdout.isatty():
        return "\n".join(drawn(lines)) + "\n"
    columns, rows = shutil.get_terminal_size()
    texts = drawn(lines, columns, rows, color=True)
    # No line feed after the last line: the screen would scroll.
    return _HOME + f"{_REST_OF_LINE}\r\n".join(texts) + _REST_OF_LINE + _REST_OF_SCREEN


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    """The terminal for oneself, given back as it was however the command ends."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if not sys.stdout.isatty():
        yield
        return
    _print(_ENTER)
    try:
        yield
    finally:
        _print(_LEAVE)
