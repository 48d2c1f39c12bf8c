from __future__ import annotations

import asyncio
import contextlib
import fcntl
import http.server
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from typing import TYPE_CHECKING

import pytest

from proxy.appliance import top
from proxy.appliance.admin import Admin
from tests.appliance.running import wait_until
from tests.appliance.test_top_frame import METRICS, STATUS
from tests.fixtures.http_servers import serving
from tests.fixtures.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Pages = dict[str, bytes]


@contextlib.contextmanager
def admin(pages: Pages) -> Iterator[str]:
    """Somebody who answers with these pages; what is not among them is a 404."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the library's name
            """Say nothing."""

    with serving(Handler) as url:
        yield url


@pytest.fixture
def pages() -> Pages:
    """What the admin port says; a test may change it."""
    return {"/status": json.dumps(STATUS).encode(), "/metrics": METRICS.encode()}


class Terminal:
    """`sluice top` in a terminal of its own; what it wrote is in `screen`."""

    def __init__(self, url: str) -> None:
        self.screen = b""
        self._master, slave = pty.openpty()
        self.resize(40, 120)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "proxy", "top", url, "--interval", "0.1"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={name: os.environ[name] for name in os.environ if name not in {"COLUMNS", "LINES"}},
        )
        os.close(slave)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def resize(self, rows: int, columns: int) -> None:
        """Give the window another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def shows(self, condition: Callable[[bytes], object], what: str) -> None:
        """Wait for the last whole frame to be so."""
        wait_until(lambda: condition(self._last_frame()), what)

    def close(self) -> None:
        """Let nothing of it stay."""
        self.process.kill()
        self.process.wait()
        self._thread.join()
        os.close(self._master)

    def _last_frame(self) -> bytes:
        return self.screen.rpartition(b"\x1b[J")[0].rpartition(b"\x1b[H")[2]

    def _read(self) -> None:
        # Linux says EIO once nobody holds the other end any more.
        with contextlib.suppress(OSError):
            while data := os.read(self._master, 65536):
                self.screen += data


@pytest.fixture
def terminal(pages: Pages) -> Iterator[Terminal]:
    """The live view of somebody who answers."""
    with admin(pages) as url, contextlib.closing(Terminal(url)) as shown:
        shown.shows(lambda frame: b"24" in frame and b"in flight" in frame, "the first frame")
        yield shown


def test_once_prints_one_frame_and_ends(pages: Pages, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain text on stdout, for scripts and tickets."""
    with admin(pages) as url:
        assert top.run(url, once=True, interval=0.1) == 0
    shown = capsys.readouterr().out
    assert shown.count("in flight") == 1
    assert "\x1b" not in shown


def test_an_address_needs_no_scheme(pages: Pages, capsys: pytest.CaptureFixture[str]) -> None:
    """`host:port` is enough."""
    with admin(pages) as url:
        assert top.run(url.removeprefix("http://"), once=True, interval=0.1) == 0
    assert "ready" in capsys.readouterr().out


def test_nobody_there_is_said_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Which address, why, and what would be right; exit status 1."""
    assert top.run(f"127.0.0.1:{free_port()}") == 1
    error = capsys.readouterr().err
    assert re.fullmatch(r"sluice top: No answer from http://\S+: .*refused.*9464.*\n", error)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"/status": None}, "answers with 404. Is this the admin port"),
        ({"/status": b"<html>"}, "is not Sluice's admin port"),
        ({"/status": b"[]"}, "is not Sluice's admin port"),
        ({"/metrics": b"<html>no</html>"}, "is not Sluice's admin port"),
    ],
    ids=["no such route", "a page", "other JSON", "other metrics"],
)
def test_somebody_else_is_not_taken_for_sluice(
    pages: Pages,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, bytes | None],
    message: str,
) -> None:
    """The public port, or another program's."""
    answered = {path: body for path, body in (pages | changed).items() if body is not None}
    with admin(answered) as url:
        assert top.run(url) == 1
    assert message in capsys.readouterr().err


def test_a_wrong_scheme_is_no_crash(capsys: pytest.CaptureFixture[str]) -> None:
    """Only HTTP is spoken."""
    assert top.run("ftp://127.0.0.1") == 1
    assert "http://" in capsys.readouterr().err


def test_the_live_view_goes_on(terminal: Terminal, pages: Pages) -> None:
    """Each interval is drawn over the one before."""
    pages["/metrics"] = METRICS.replace("in_flight 24", "in_flight 31").encode()
    terminal.shows(lambda frame: b"31\x1b[0m in flight" in frame, "the new figure")


def test_the_live_view_outlives_a_silence(terminal: Terminal, pages: Pages) -> None:
    """It says that nothing answers, and goes on when something does."""
    kept = pages.pop("/metrics")
    terminal.shows(lambda frame: b"answers with 404" in frame, "the complaint")
    pages["/metrics"] = kept
    terminal.shows(lambda frame: b"answers with 404" not in frame, "the figures")


def test_the_live_view_follows_the_window(terminal: Terminal) -> None:
    """A smaller window cuts lines and rows at once."""
    terminal.resize(4, 30)
    terminal.process.send_signal(signal.SIGWINCH)
    terminal.shows(lambda frame: frame.count(b"\r\n") == 3, "four rows")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_leaving_gives_the_terminal_back(terminal: Terminal, number: signal.Signals) -> None:
    """Ctrl-C is the way out: no traceback, the cursor and the old screen again, status 0."""
    terminal.process.send_signal(number)
    assert terminal.process.wait(10) == 0
    wait_until(lambda: terminal.screen.endswith(b"\x1b[?25h\x1b[?1049l"), "the old screen")
    assert b"Traceback" not in terminal.screen


async def test_a_token_is_sent_and_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Without it the command says which setting it wants."""
    admin, port = Admin(_Quiet(), token="t0ken"), free_port()
    await admin.start("127.0.0.1", port)
    url = f"http://127.0.0.1:{port}"
    try:
        assert await asyncio.to_thread(top.run, url, once=True, interval=0.1) == 1
        assert "SLUICE_ADMIN_TOKEN" in capsys.readouterr().err
        assert (await asyncio.to_thread(top.fetch, url, "t0ken")).status["state"] == "ready"
    finally:
        await admin.close()


class _Quiet:
    def why_not_ready(self) -> None:
        return None

    async def status(self) -> Mapping[str, object]:
        return {"state": "ready", "workers": [], "upstreams": {}}

    async def metrics(self) -> bytes:
        return b""
