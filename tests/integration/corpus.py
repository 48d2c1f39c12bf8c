"""Whole streams for replays: of our own making, and recorded ones where they are at hand."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from typing import Any

from tests.fixtures.recordings import stream_files

NOT_WHOLE = {"recorded-made-openai-truncated.sse", "chat-truncated.sse"}
PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/m:streamGenerateContent?alt=sse",
    "transcription": "/v1/audio/transcriptions",
}
_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)", re.DOTALL)


@dataclass(frozen=True)
class Recording:
    """One recorded stream."""

    name: str
    family: str
    raw: bytes

    @property
    def path(self) -> str:
        """Where a client asks for such a stream; an unknown family has an unknown path."""
        return PATHS.get(self.family, "/v1/another/api")

    @property
    def without_usage(self) -> bytes:
        """The stream without the event that holds usage and nothing else."""
        events = events_of(self.raw)
        rest = self.raw[sum(map(len, events)) :]
        return b"".join(event for event in events if not _is_usage(event)) + rest


@functools.cache
def recordings() -> tuple[Recording, ...]:
    """Every whole stream that is at hand."""
    return tuple(
        Recording(name, file.truth["format"], file.raw)
        for name, file in sorted(stream_files().items())
        if name not in NOT_WHOLE
    )


def events_of(raw: bytes) -> list[bytes]:
    """The events of a stream, each with the empty line that ends it."""
    return _EVENT.findall(raw)


def _is_usage(event: bytes) -> bool:
    data = b"".join(
        line.removeprefix(b"data:") for line in event.splitlines() if line.startswith(b"data:")
    )
    if data.strip() in {b"", b"[DONE]"}:
        return False
    document: dict[str, Any] = json.loads(data)
    return document.get("choices") == [] and bool(document.get("usage"))
