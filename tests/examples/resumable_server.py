"""A scripted Sluice whose connections break: the wire of resumable streams, and nothing else."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.fixtures import http_servers

STREAM = "0123456789abcdef0123456789abcdef"
TEXT = "Ströme über Brücken, 日本語 🎈 und weiter, word by word until the end."
ROUTES = {
    "chat": "/v1/chat/completions",
    "messages": "/v1/messages",
    "responses": "/v1/responses",
}


def chat_events(text: str = TEXT) -> list[bytes]:
    """A chat answer, with a comment before an event here and there."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas: list[dict[str, str]] = [{"content": text[at : at + 5]} for at in range(0, len(text), 5)]
    parts = [
        json.dumps(
            {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]},
            ensure_ascii=False,
        )
        for delta in deltas
    ]
    end = {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    lines = [*parts, json.dumps(end), "[DONE]"]
    return [
        (": note\n\n" if at % 4 == 2 else "").encode() + f"data: {line}\n\n".encode()
        for at, line in enumerate(lines)
    ]


def messages_events(text: str = TEXT) -> list[bytes]:
    """The same text as Anthropic sends it."""
    usage = {"input_tokens": 1, "output_tokens": 1}
    message: dict[str, object] = {
        "id": "m", "type": "message", "role": "assistant", "content": [], "model": "m",
        "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    block = {"type": "text", "text": ""}
    events: list[dict[str, object]] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *(
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "text_delta", "text": text[at : at + 5]},
            }
            for at in range(0, len(text), 5)
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "end_turn", "stop_sequence": None},
            "usage": usage,
        },
        {"type": "message_stop"},
    ]
    return [
        f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()
        for event in events
    ]


@dataclass
class Script:
    """What the server sends, how much on each connection, and what it was asked."""

    events: list[bytes]
    cut_after: int = 0
    """Bytes of body on each connection before it breaks; 0: never."""
    ended_by: str = "complete"
    busy: int = 0
    """So many reconnects are answered with 503 first."""
    pause: float = 0.0
    """Seconds between two pieces."""
    asked: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: Script

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        resumable = self.headers.get("Sluice-Resumable", "no")
        self.script.asked.append(f"POST {resumable}")
        with contextlib.suppress(OSError):  # a client that left
            self._send(0)

    def do_GET(self) -> None:
        self.script.asked.append(f"GET {self.path.removeprefix(f'/v1/streams/{STREAM}')}")
        if self.script.busy:
            self.script.busy -= 1
            self._empty(503)
            return
        if "application/json" in self.headers.get("Accept", ""):
            self._empty(200)  # the state is asked for, and not the events
            return
        after = int(self.path.rpartition("=")[2])
        if after >= len(self.script.events):
            self._empty(204, {"Sluice-Ended-By": self.script.ended_by})
            return
        self._send(after)

    def do_DELETE(self) -> None:
        self.script.asked.append("DELETE")
        self.script.stopped.set()
        self._empty(204)

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def _empty(self, status: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, after: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Sluice-Stream-Id", STREAM)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        body, cut = b"".join(self.script.events[after:]), self.script.cut_after
        whole = not cut or len(body) < cut
        for at in range(0, len(body) if whole else cut, 64):
            chunk = body[at : at + 64 if whole else min(at + 64, cut)]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            time.sleep(self.script.pause)
        if whole and self.script.ended_by == "complete":
            self.wfile.write(b"0\r\n\r\n")
        else:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True


def serving(script: Script) -> AbstractContextManager[str]:
    """Serve a script; gives its address."""
    return http_servers.serving(type("Handler", (_Handler,), {"script": script}))
