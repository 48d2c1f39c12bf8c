"""The upstreams of the appliance: three that answer, an odd one, and nobody."""

from __future__ import annotations

import contextlib
import http.client
import http.server
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.appliance.running import wait_until
from tests.fixtures.http_servers import serving
from tests.fixtures.ports import free_port
from tests.monitoring.asks import FALLING_BACK, MODELS, ODD_MODEL, UNPRICED

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = (
    b'data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
)
_ODD = _CHUNK + b'data: {"object": \n\n' + _CHUNK + b"data: [DONE]\n\n"


class _Odd(http.server.BaseHTTPRequestHandler):
    """Answers everything with a stream in whose middle stands half an event, and no usage."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(_ODD)))
        self.end_headers()
        self.wfile.write(_ODD)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 the library's name
        """Say nothing."""


NAMES = ("east", "gone", "odd", "spare", "west")


@contextlib.contextmanager
def upstreams() -> Iterator[str]:
    """The value of `SLUICE_UPSTREAMS`: east, west and spare answer, nobody listens at `gone`."""
    with _demo() as east, _demo() as west, _odd() as odd:
        gone = f"http://127.0.0.1:{free_port()}/v1"
        served = [*MODELS, UNPRICED]
        yield json.dumps(
            [
                {"name": "east", "url": east, "models": served},
                {"name": "west", "url": west, "models": served},
                {"name": "gone", "url": gone, "models": [*served, FALLING_BACK], "weight": 0.5},
                {"name": "spare", "url": west, "models": [FALLING_BACK], "priority": 1},
                {"name": "odd", "url": odd, "models": [ODD_MODEL]},
            ]
        )


@contextlib.contextmanager
def _demo() -> Iterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "proxy", "demo", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(port, "/healthz"), "the demo upstream")
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()


@contextlib.contextmanager
def _odd() -> Iterator[str]:
    with serving(_Odd) as url:
        yield f"{url}/v1"


def answers(port: int, path: str) -> bool:
    """Whether a port of this machine answers a GET with 200."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(client), contextlib.suppress(OSError, http.client.HTTPException):
        client.request("GET", path)
        return client.getresponse().status == 200
    return False
