"""Keeps the last warnings of this process, for the status page."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from structlog.typing import EventDict

MAX_WARNINGS = 20
_LONGEST = 300
_LEVELS = frozenset({"warning", "error", "critical"})
_OWN_COLUMNS = frozenset({"timestamp", "level", "event", "logger", "exception", "exc_info"})

_latest: deque[dict[str, Any]] = deque(maxlen=MAX_WARNINGS)


def remember(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Keep the last warnings; a structlog processor that passes every line on."""
    if event.get("level") in _LEVELS:
        rest = ", ".join(
            f"{name}={value}" for name, value in event.items() if name not in _OWN_COLUMNS
        )
        _latest.append(
            {
                "at": str(event.get("timestamp", "")),
                "level": str(event["level"]),
                "event": str(event.get("event", ""))[:_LONGEST],
                "detail": rest[:_LONGEST],
            }
        )
    return event


def latest() -> list[dict[str, Any]]:
    """Return the last warnings, oldest first; like the log, they contain no key."""
    return list(_latest)
