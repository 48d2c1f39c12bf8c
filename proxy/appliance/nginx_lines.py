"""nginx's lines, read: what happened, without anything in which a client may have put a key.

Clients write much of these lines: paths, header lines that nginx quotes as it refuses them, bytes
that are no UTF-8. So facts are taken out of them, and the rest is left behind.
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
# Sluice breaks a cut stream off, so that no client takes it for whole; its own line of the request
# says why, and where a worker died its supervisor does. Before the head it stays an error.
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
    """A line as text; a byte that is no UTF-8 is written as a URL would have it, `%FF`."""
    return line.decode("utf-8", "sluice.percent")


def access_fields(line: bytes) -> dict[str, Any] | None:
    """The fields of an access line; None for what is none."""
    try:
        fields: dict[str, Any] = msgspec.json.decode(text_of(line).strip())
        # Where the request line could not be read there is none: `000`, which JSON does not know.
        return fields | {"status": int(fields["status"]), "path": safe_path(fields["path"])}
    except (msgspec.DecodeError, TypeError, KeyError, ValueError):
        return None


def error_fields(line: str) -> tuple[str, dict[str, Any]]:
    """The level, in our words, and what one of nginx's own complaints says."""
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
        if (found := pattern.search(message)) is not None:
            fields |= found.groupdict()
    if "path" in fields:
        fields["path"] = safe_path(fields["path"])
    if "worker" in fields and _BROKEN_OFF.fullmatch(fields["message"]):
        level = "info"
    return level, fields | {"connection": int(match["connection"])}


def safe_path(path: str) -> str:
    """A path that can be written down: no query, no value of what looks like a key's name."""
    path, decoded = _without_values(path), path
    for _ in range(_DECODED_TIMES):
        decoded = unquote(decoded)
    # A key's name may be encoded, once or more.
    if _without_values(decoded) != decoded:
        path = _without_values(decoded)
    return path if path.isprintable() else quote(path, safe="/%:;=,@!$&'()*+~…")


def _without_values(path: str) -> str:
    return _KEYS.sub(r"\1…", _ENCODED_QUERY.sub("", path))


def _before_quotes(message: str) -> str:
    """What nginx says itself: all up to what it quotes of the client's, or tells of the request."""
    own = message.partition(", client: ")[0].partition('"')[0]
    return own.rstrip(": ")


def _masked(text: str) -> str:
    return _KEYS.sub(r"\1…", _USER.sub("//…@", _QUERY.sub("?…", text)))
