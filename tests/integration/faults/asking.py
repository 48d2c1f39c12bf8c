"""Each family's request for a stream, and its terminal error."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from proxy.record import Family
from tests.integration.faults.events import Event
from tests.integration.raw import Fields, request

_MESSAGES = [{"role": "user", "content": "hello"}]
_BOUNDARY = "between"


def _json(**fields: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps({"model": "demo", "stream": True, **fields}).encode()


def _form(**fields: str) -> tuple[str, bytes]:
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        f"abc\r\n--{_BOUNDARY}--\r\n"
    )
    return f"multipart/form-data; boundary={_BOUNDARY}", "".join(parts).encode()


@dataclass(frozen=True)
class Asking:
    """One family's request for a stream, and the format of its streams."""

    family: Family
    target: str
    content_type: str
    body: bytes
    end_mark: bytes
    """Data that only the last event of a whole stream contains."""
    check_terminal_error: Callable[[Event, list[Event]], dict[str, Any]]
    """Checks the terminal error against the events before it; returns the error's own fields."""

    def request(self, words: str = "", request_id: str = "", more: Fields | None = None) -> bytes:
        """Return the request's bytes; `words` are for the demo, the id names its call."""
        fields = [("Content-Type", self.content_type), *(more or [])]
        if words:
            fields.append(("X-Demo", words))
        if request_id:
            fields += [("X-Request-ID", request_id), ("X-Demo-Run", request_id)]
        return request("POST", self.target, self.body, fields)

    def with_body(self, body: bytes) -> Self:
        """Return the same request with another body."""
        return replace(self, body=body)

    def of_model(self, model: str) -> Self:
        """Return the same request for another model."""
        return replace(
            self,
            target=self.target.replace("models/demo:", f"models/{model}:"),
            body=self.body.replace(b'"model": "demo"', f'"model": "{model}"'.encode()),
        )


def _chunk_broke(last: Event, _before: list[Event]) -> dict[str, Any]:
    assert last.name == ""
    error: dict[str, Any] = json.loads(last.data)["error"]
    assert error["type"] == "server_error"
    return error


def _response_broke(last: Event, before: list[Event]) -> dict[str, Any]:
    assert last.name == "response.failed"
    document: dict[str, Any] = json.loads(last.data)
    assert document["type"] == "response.failed"
    assert document["response"]["status"] == "failed"
    numbers = [
        json.loads(event.data)["sequence_number"] for event in before if event.name in _KNOWN
    ]
    assert document["sequence_number"] == (numbers[-1] + 1 if numbers else 0)
    ids = [json.loads(event.data)["response"]["id"] for event in before if event.name == _KNOWN[0]]
    assert not ids or document["response"]["id"] == ids[0]
    return dict(document["error"])


_KNOWN = (
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
)


def _message_broke(last: Event, _before: list[Event]) -> dict[str, Any]:
    assert last.name == "error"
    document: dict[str, Any] = json.loads(last.data)
    assert document["type"] == "error"
    assert document["error"]["type"] in {"api_error", "timeout_error", "overloaded_error"}
    return {"request_id": document["request_id"], **document["error"]}


def _gemini_broke(last: Event, _before: list[Event]) -> dict[str, Any]:
    assert last.name == ""
    error: dict[str, Any] = json.loads(last.data)["error"]
    assert error["code"] in {502, 503, 504}
    assert error["status"] in {"INTERNAL", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
    return error


def _named_broke(last: Event, _before: list[Event]) -> dict[str, Any]:
    assert last.name == "error"
    return dict(json.loads(last.data)["error"])


ASKINGS = (
    Asking(
        Family.CHAT,
        "/v1/chat/completions",
        *_json(messages=_MESSAGES, stream_options={"include_usage": True}),
        b"[DONE]",
        _chunk_broke,
    ),
    Asking(
        Family.RESPONSES,
        "/v1/responses",
        *_json(input="hello"),
        b'"type":"response.completed"',
        _response_broke,
    ),
    Asking(
        Family.COMPLETIONS,
        "/v1/completions",
        *_json(prompt="hello"),
        b"[DONE]",
        _chunk_broke,
    ),
    Asking(
        Family.MESSAGES,
        "/v1/messages",
        *_json(messages=_MESSAGES, max_tokens=10_000),
        b'"type":"message_stop"',
        _message_broke,
    ),
    Asking(
        Family.GEMINI,
        "/v1beta/models/demo:streamGenerateContent?alt=sse",
        "application/json",
        json.dumps({"contents": [{"parts": [{"text": "hello"}]}]}).encode(),
        b'"finishReason":"STOP"',
        _gemini_broke,
    ),
    Asking(
        Family.UNKNOWN,
        "/v1/audio/transcriptions",
        *_form(model="demo", stream="true"),
        b"[DONE]",
        _named_broke,
    ),
)
BY_FAMILY = {asking.family: asking for asking in ASKINGS}
CHAT = BY_FAMILY[Family.CHAT]
