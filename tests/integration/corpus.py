"""Recorded streams of real providers, where they are there to be read."""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[3] / "shared" / "corpus"
NOT_WHOLE = {"made-openai-truncated.sse"}
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
    """Every whole recording; none where the folder is not there."""
    if not FOLDER.is_dir():
        return ()
    meta = json.loads((FOLDER / "truth.json").read_text(encoding="utf-8"))
    return tuple(
        Recording(name, about["format"], (FOLDER / name).read_bytes())
        for name, about in sorted(meta.items())
        if name not in NOT_WHOLE and (FOLDER / name).is_file()
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
