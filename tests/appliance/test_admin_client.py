from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from proxy.appliance.admin_client import get


class _Redirecting(BaseHTTPRequestHandler):
    seen: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.path, self.headers["Authorization"]))
        self.send_response(302 if self.path == "/status" else 200)
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_the_token_is_shown_to_the_admin_port_alone() -> None:
    """Whoever it redirects to does not get it."""
    _Redirecting.seen = []
    with HTTPServer(("127.0.0.1", 0), _Redirecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        get(f"http://127.0.0.1:{server.server_port}/status", "t0ken")
        get(f"http://127.0.0.1:{server.server_port}/plain")
        server.shutdown()
    assert _Redirecting.seen == [
        ("/status", "Bearer t0ken"),
        ("/elsewhere", None),
        ("/plain", None),
    ]


def test_only_http_is_spoken() -> None:
    """No file of this machine is read by a slip of the pen."""
    with pytest.raises(ValueError, match="http"):
        get("file:///etc/passwd")
