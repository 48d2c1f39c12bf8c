"""Where the load goes, and the request that it sends."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

_QUESTION = "What does a token cost on its way through a gateway?"


@dataclass(frozen=True, slots=True)
class Target:
    """One contestant's address, with what it wants to be told in every request."""

    host: str
    port: int
    path: str = "/v1/chat/completions"
    model: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def request(self, model: str, *, stream: bool) -> bytes:
        """A whole HTTP/1.1 request; the target's own model name wins over the one given."""
        body = json.dumps(
            {
                "model": self.model or model,
                "messages": [{"role": "user", "content": _QUESTION}],
                "stream": stream,
            }
        ).encode()
        headers = {
            "Host": f"{self.host}:{self.port}",
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Authorization": "Bearer bench",
            "Accept": "text/event-stream" if stream else "application/json",
            **self.headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + body
