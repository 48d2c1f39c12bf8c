"""What the paced upstream says: OpenAI chat chunks, cut out once per answer."""

from __future__ import annotations

import json
from typing import Any

from bench.stamps import LENGTH, stamp

STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
STREAM_END = b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"

_CREATED = 1760000000


class Chunks:
    """The HTTP chunks of one streamed answer, one event in each."""

    __slots__ = ("_after", "_before", "_model", "opening")

    def __init__(self, model: str) -> None:
        self._model = model
        self.opening = self._chunk({"role": "assistant", "content": ""})
        mark = b"X" * LENGTH
        self._before, self._after = self._chunk({"content": mark.decode()}).split(mark)

    def token(self, sent: int, due: int) -> bytes:
        """One token with its stamp; times in nanoseconds."""
        return self._before + stamp(sent, due) + self._after

    def closing(self, tokens: int, *, usage: bool) -> bytes:
        """The finish reason, the usage if it was asked for, the end mark and the last chunk."""
        finish = self._chunk({}, finish="stop")
        counted = self._chunk(None, usage=_usage(tokens)) if usage else b""
        return finish + counted + STREAM_END

    def _chunk(
        self,
        delta: dict[str, str] | None,
        finish: str | None = None,
        usage: dict[str, int] | None = None,
    ) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        value: dict[str, Any] = {
            "id": "chatcmpl-bench",
            "object": "chat.completion.chunk",
            "created": _CREATED,
            "model": self._model,
            "choices": [] if delta is None else [choice],
        }
        if usage is not None:
            value["usage"] = usage
        event = b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"
        return b"%x\r\n%b\r\n" % (len(event), event)


def answer(model: str, tokens: int, arrived: int) -> bytes:
    """A whole answer that is not streamed, head and JSON body."""
    message = {"role": "assistant", "content": " word" * tokens}
    return json_response(
        {
            "id": f"chatcmpl-{arrived}",
            "object": "chat.completion",
            "created": _CREATED,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": _usage(tokens),
        }
    )


def json_response(value: dict[str, Any], status: str = "200 OK") -> bytes:
    """Head and body of a small JSON answer."""
    body = json.dumps(value, separators=(",", ":")).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 9, "completion_tokens": tokens, "total_tokens": tokens + 9}
