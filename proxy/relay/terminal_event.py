"""Builds the event that ends a broken stream, in its family's format.

Chat and completions: an error chunk and no `[DONE]`. Responses: `response.failed` with the next
sequence number. Messages: `event: error`. Gemini: an error object. Anything else: `event: error`.
(OpenAI API reference "Streaming events", Anthropic API reference "Streaming: error events".)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable

from proxy.errors import SluiceError, document_of
from proxy.record import Family, Reader


def terminal_event(family: Family, error: SluiceError, request_id: str, reader: Reader) -> bytes:
    """Build the event, including the empty line that ends it."""
    return _TABLE[family](error, family, request_id, reader)


def spoil(partial: bytes, family: Family) -> bytes:
    """Return the bytes that end a partial event so that no client takes it for a whole one.

    A second data line makes its JSON invalid even if it was complete by chance, and its name
    becomes one that clients ignore. A partial UTF-8 character is completed first: otherwise strict
    decoders would fail before the error event.
    """
    name = b"ping" if family is Family.MESSAGES else b"incomplete"
    line_end = b"" if partial.endswith((b"\n", b"\r")) else _rest_of_character(partial) + b"\n"
    return line_end + b"data: (cut)\nevent: " + name + b"\n\n"


def _rest_of_character(text: bytes) -> bytes:
    """Return the continuation bytes that complete the last UTF-8 character; usually none."""
    for length in range(1, 4):
        lead = text[-length:][:1]
        if not lead or lead[0] < 0x80:
            return b""
        if lead[0] >= 0xC0:
            missing = (1 + (lead[0] >= 0xE0) + (lead[0] >= 0xF0)) - (length - 1)
            return _valid(text[-length:], missing)
    return b""


def _valid(begun: bytes, missing: int) -> bytes:
    # After E0, ED, F0 and F4 only a part of 80..BF is valid (RFC 3629, section 4).
    for first in (b"\x80", b"\x90", b"\xa0"):
        rest = (first + b"\x80" * missing)[:missing]
        try:
            (begun + rest).decode()
        except UnicodeDecodeError:
            continue
        return rest
    return b""


def _chunk(error: SluiceError, family: Family, request_id: str, _reader: Reader) -> bytes:
    return _event(None, document_of(error, family, request_id))


def _named(error: SluiceError, family: Family, request_id: str, _reader: Reader) -> bytes:
    return _event("error", document_of(error, family, request_id))


def _response_failed(error: SluiceError, family: Family, request_id: str, reader: Reader) -> bytes:
    detail = document_of(error, family, request_id)["error"]
    assert isinstance(detail, dict)
    response = {
        "id": reader.response_id or f"resp_{request_id}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "failed",
        "error": {"code": "server_error", "message": detail["message"]},
        "incomplete_details": None,
        "output": [],
    }
    sequence = 0 if reader.sequence is None else reader.sequence + 1
    # The `error` member makes the `openai` SDK raise.
    document = {
        "type": "response.failed",
        "sequence_number": sequence,
        "response": response,
        "error": detail,
    }
    return _event("response.failed", document)


def _event(name: str | None, document: dict[str, object]) -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document)}\n\n".encode()


_TABLE: dict[Family, Callable[[SluiceError, Family, str, Reader], bytes]] = {
    Family.CHAT: _chunk,
    Family.COMPLETIONS: _chunk,
    Family.RESPONSES: _response_failed,
    Family.MESSAGES: _named,
    Family.GEMINI: _chunk,
    Family.UNKNOWN: _named,
}
