"""Rewrites nginx's access and error logs: valid lines, without keys, each with a request id.

A line of the error log has the number of the connection, but no request id. So it is held for a
moment, until the access line of the same connection brings the id. In turn, the error line shows
that a response was cut, where the access line calls it complete.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from proxy.appliance.line_reader import to_stderr
from proxy.appliance.nginx_log_parser import access_fields, error_fields, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Complaint = tuple[str, dict[str, Any]]

HOLD_SECONDS = 2.0
"""How long a complaint waits: twice as long as nginx buffers access lines."""
_MAX_HELD = 1000
_CUT = ("prematurely closed", "timed out", "reset by peer")
_log = structlog.get_logger("nginx")


class NginxLog:
    """Receives the lines of both logs, each from its own thread."""

    def __init__(
        self,
        *,
        for_people: bool = False,
        write: Callable[[bytes], None] = to_stderr,
        on_access: Callable[[dict[str, Any]], None] = lambda _fields: None,
        hold: float = HOLD_SECONDS,
    ) -> None:
        """`told` hears of every access line, those too that are not to be written."""
        self._for_people = for_people
        self._write = write
        self._on_access = on_access
        self._hold = hold
        self._lock = threading.Lock()
        self._held: dict[int, list[Complaint]] = defaultdict(list)
        self._timer: threading.Timer | None = None

    def access(self, lines: bytes) -> None:
        """Process lines of nginx's access log."""
        written = []
        for line in lines.splitlines():
            fields = access_fields(line)
            if fields is None:
                _log.warning("nginx", message="malformed access log line")
                continue
            self._join_complaints(fields)
            self._on_access(fields)
            listed = fields.pop("listed", 1)
            fields.pop("own", None)
            fields.pop("own_id", None)
            if listed:
                written.append(fields)
        if self._for_people:
            for fields in written:
                for known in ("event", "level", "timestamp"):
                    fields.pop(known, None)
                _log.info("access", **fields)
        elif written:
            self._write(b"".join(msgspec.json.encode(fields) + b"\n" for fields in written))

    def errors(self, lines: bytes) -> None:
        """Process lines of nginx's stderr."""
        for line in text_of(lines).split("\n"):
            if not line:
                continue
            level, fields = error_fields(line)
            if not self._hold_back(level, fields):
                _log_complaint(level, fields)

    def flush(self) -> None:
        """Write all complaints that still wait for their access line."""
        with self._lock:
            held, self._held = self._held, defaultdict(list)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
        for complaints in held.values():
            for level, fields in complaints:
                _log_complaint(level, fields)

    def _hold_back(self, level: str, fields: dict[str, Any]) -> bool:
        connection = fields.get("connection")
        if connection is None or not self._hold:
            return False
        with self._lock:
            if len(self._held) >= _MAX_HELD:
                return False
            self._held[connection].append((level, fields))
            if self._timer is None:
                self._timer = threading.Timer(self._hold, self.flush)
                self._timer.daemon = True
                self._timer.start()
        return True

    def _join_complaints(self, fields: dict[str, Any]) -> None:
        """Add the request's id to its complaints, and note in its access line if it was cut."""
        with self._lock:
            complaints = self._held.get(fields.get("connection", -1), [])
            matching = [
                held_complaint
                for held_complaint in complaints
                if _same_request(held_complaint[1], fields)
            ]
            complaints[:] = [
                held_complaint for held_complaint in complaints if held_complaint not in matching
            ]
        for level, complaint in matching:
            if not fields.get("own") and any(word in complaint["message"] for word in _CUT):
                fields["completed"] = "cut"
            _log_complaint(level, complaint | {"request_id": fields.get("request_id", "")})


def _same_request(complaint: dict[str, Any], access: dict[str, Any]) -> bool:
    """Whether both concern one request; an HTTP/2 connection has several at once."""
    return not complaint.get("path") or complaint["path"] == access.get("path")


def _log_complaint(level: str, fields: dict[str, Any]) -> None:
    getattr(_log, level)("nginx", **fields)
