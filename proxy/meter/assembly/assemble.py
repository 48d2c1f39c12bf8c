"""Assembles a stream's events into the document of the same request without streaming."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from proxy.meter.assembly.chat import whole_chat, whole_completion
from proxy.meter.assembly.gemini import whole_content
from proxy.meter.assembly.messages import whole_message
from proxy.meter.assembly.responses import whole_response
from proxy.record import Family

_FAMILIES: dict[Family, Callable[[Iterable[bytes]], dict[str, Any] | None]] = {
    Family.CHAT: whole_chat,
    Family.COMPLETIONS: whole_completion,
    Family.RESPONSES: whole_response,
    Family.MESSAGES: whole_message,
    Family.GEMINI: whole_content,
}


def assemble(family: Family, events: Iterable[bytes]) -> dict[str, Any] | None:
    """Return the whole response; None if it is unknown or incomplete."""
    assembler = _FAMILIES.get(family)
    return None if assembler is None else assembler(events)
