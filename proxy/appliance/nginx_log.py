"""nginx's own complaints as log lines, without the keys that some clients put into a URL."""

from __future__ import annotations

import json
import re

import structlog

_LINE = re.compile(
    r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(?P<level>\w+)\] (?P<process>\d+)#\d+: (?P<message>.*)"
)
_PREFIX = re.compile(r"^nginx: (?:\[(?P<level>\w+)\] )?")
_QUERY = re.compile(r"\?[^\s\"]*")
_LEVELS = {"warn": "warning", "error": "error", "crit": "error", "alert": "error", "emerg": "error"}
_log = structlog.get_logger("nginx")


def to_log(lines: bytes) -> None:
    """The sink of nginx's stderr: each line becomes a log line, its URLs without their queries."""
    for line in lines.decode(errors="replace").splitlines():
        level, message = parsed(line)
        getattr(_log, level)("nginx", message=message)


def access_to_log(lines: bytes) -> None:
    """The sink of nginx's access log where people read: its JSON becomes lines like all others."""
    for line in lines.splitlines():
        fields = json.loads(line)
        for known in ("event", "level", "timestamp"):
            del fields[known]
        _log.info("access", **fields)


def parsed(line: str) -> tuple[str, str]:
    """The level, in our words, and the message of one of nginx's lines."""
    match = _LINE.match(line)
    level = match["level"] if match else (_PREFIX.match(line) or {"level": None})["level"]
    message = match["message"] if match else _PREFIX.sub("", line)
    return _LEVELS.get(level or "", "info"), _QUERY.sub("?…", message)
