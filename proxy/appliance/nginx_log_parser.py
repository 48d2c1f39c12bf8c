"""Parses nginx's log lines into fields, without any text in which a client may have put a key.

Clients control much of these lines: paths, header lines that nginx quotes, bytes that are not
UTF-8. Therefore known facts are extracted, and the rest is dropped.
"""

from __future__ import annotations

import codecs
import re
from typing import Any
from urllib.parse import quote, unquote

import msgspec

_LINE = re.compile(
    r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[(?P<level>\w+)\] \d+#\d+: "
    r"(?:\*(?P<connection>\d+) )?(?P<message>.*)",
    re.DOTALL,
)
_PREFIX = re.compile(r"^nginx: (?:\[(?P<level>\w+)\] )?")
_LEVELS = {"warn": "warning", "error": "error", "crit": "error", "alert": "error", "emerg": "error"}
# Sluice closes a cut stream's connection, so that no client takes it for complete; the request's
# own log line says why, or the supervisor's if a worker died. Before the head it stays an error.
_BROKEN_OFF = re.compile(
    r"(?:upstream prematurely closed connection|recv\(\) failed \(104: Connection reset by peer\))"
    r" while reading upstream"
)
_CLIENT = re.compile(r", client: (?P<client>[0-9A-Fa-f.:]+|unix:)(?:,|$| while)")
_REQUEST = re.compile(r'request: "(?P<method>[A-Z_-]+) (?P<path>/[^\s?"]*)')
_WORKER = re.compile(r'upstream: "\w+://(?P<worker>unix:/[^:\s"]+\.sock)')
_QUERY = re.compile(r"\?[^\s\"]*")
_USER = re.compile(r"//[^/\s\"]*@")
_KEYS = re.compile(
    r"((?:api|access|auth|client)?[-_.]?(?:key|token|secret|password|passwd|authorization|"
    r"credential|signature|sig)s?(?:=|%3d))[^/;&?]*",
    re.IGNORECASE,
)
_DECODED_TIMES = 3
_ENCODED_QUERY = re.compile(r"(?:\?|%3f).*", re.IGNORECASE | re.DOTALL)


def _as_percent(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    wrong = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for byte in wrong), error.end


codecs.register_error("sluice.percent", _as_percent)


def text_of(line: bytes) -> str:
    """Decode a line; bytes that are not UTF-8 are percent-encoded, as `%FF`."""
    return line.decode("utf-8", "sluice.percent")


def access_fields(line: bytes) -> dict[str, Any] | None:
    """Return the fields of an access line; None if it is malformed."""
    try:
        fields: dict[str, Any] = msgspec.json.decode(text_of(line).strip())
        # For a malformed request line the status is `000`, not a JSON number.
        return fields | {"status": int(fields["status"]), "path": safe_path(fields["path"])}
    except (msgspec.DecodeError, TypeError, KeyError, ValueError):
        return None


def error_fields(line: str) -> tuple[str, dict[str, Any]]:
    """Return the log level and the fields of a line of nginx's error log."""
    match = _LINE.match(line)
    if match is None:
        prefix = _PREFIX.match(line)
        level = prefix["level"] if prefix else None
        return _LEVELS.get(level or "", "info"), {"message": _masked(_PREFIX.sub("", line))}
    level, message = _LEVELS.get(match["level"], "info"), match["message"]
    if match["connection"] is None or ", client: " not in message:
        return level, {"message": _masked(message)}
    fields: dict[str, Any] = {"message": _before_quotes(message)}
    for pattern in (_CLIENT, _REQUEST, _WORKER):
        if (details := pattern.search(message)) is not None:
            fields |= details.groupdict()
    if "path" in fields:
        fields["path"] = safe_path(fields["path"])
    if "worker" in fields and _BROKEN_OFF.fullmatch(fields["message"]):
        level = "info"
    return level, fields | {"connection": int(match["connection"])}


def safe_path(path: str) -> str:
    """Return a path without its query and without values of names that look like a key's."""
    path, decoded = _without_values(path), path
    for _ in range(_DECODED_TIMES):
        decoded = unquote(decoded)
    # A key's name may be percent-encoded, once or more.
    if _without_values(decoded) != decoded:
        path = _without_values(decoded)
    return path if path.isprintable() else quote(path, safe="/%:;=,@!$&'()*+~…")


def _without_values(path: str) -> str:
    return _KEYS.sub(r"\1…", _ENCODED_QUERY.sub("", path))


def _before_quotes(message: str) -> str:
    """Return nginx's own words: the message up to the first quoted text or request details."""
    own = message.partition(", client: ")[0].partition('"')[0]
    return own.rstrip(": ")


def _masked(text: str) -> str:
    return _KEYS.sub(r"\1…", _USER.sub("//…@", _QUERY.sub("?…", text)))
