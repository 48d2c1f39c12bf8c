"""nginx's two logs on their way through: every line valid, none with a key, each with its id.

nginx knows no request id where it complains, but the number of the connection. So a complaint
waits a moment for the access line of the same connection, which has the id; and that line learns
from the complaint whether the answer was cut, which nginx itself calls complete.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from proxy.appliance.lines import to_stderr
from proxy.appliance.nginx_lines import access_fields, error_fields, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    Complaint = tuple[str, dict[str, Any]]

HOLD_SECONDS = 2.0
"""How long a complaint waits: twice as long as nginx holds access lines back."""
_MOST_HELD = 1000
_CUT = ("prematurely closed", "timed out", "reset by peer")
_log = structlog.get_logger("nginx")


class NginxLog:
    """Takes the lines of both logs, each from a thread of its own."""

    def __init__(
        self,
        *,
        for_people: bool = False,
        write: Callable[[bytes], None] = to_stderr,
        told: Callable[[dict[str, Any]], None] = lambda _fields: None,
        hold: float = HOLD_SECONDS,
    ) -> None:
        """`told` hears of every access line, those too that are not to be written."""
        self._for_people = for_people
        self._write = write
        self._told = told
        self._hold = hold
        self._lock = threading.Lock()
        self._held: dict[int, list[Complaint]] = defaultdict(list)
        self._timer: threading.Timer | None = None

    def access(self, lines: bytes) -> None:
        """The sink of nginx's access log."""
        written = []
        for line in lines.splitlines():
            fields = access_fields(line)
            if fields is None:
                _log.warning("nginx", message="an access line could not be read")
                continue
            self._meet_complaints(fields)
            self._told(fields)
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
            self._write(b"".join(msgspec.json.encode(one) + b"\n" for one in written))

    def errors(self, lines: bytes) -> None:
        """The sink of nginx's stderr."""
        for line in text_of(lines).split("\n"):
            if not line:
                continue
            level, fields = error_fields(line)
            if not self._held_back(level, fields):
                _say(level, fields)

    def flush(self) -> None:
        """Write what still waits for its access line."""
        with self._lock:
            held, self._held = self._held, defaultdict(list)
            if self._timer is not None:
                self._timer.cancel()
            self._timer = None
        for complaints in held.values():
            for level, fields in complaints:
                _say(level, fields)

    def _held_back(self, level: str, fields: dict[str, Any]) -> bool:
        connection = fields.get("connection")
        if connection is None or not self._hold:
            return False
        with self._lock:
            if len(self._held) >= _MOST_HELD:
                return False
            self._held[connection].append((level, fields))
            if self._timer is None:
                self._timer = threading.Timer(self._hold, self.flush)
                self._timer.daemon = True
                self._timer.start()
        return True

    def _meet_complaints(self, fields: dict[str, Any]) -> None:
        """Give the complaints of this request its id, and learn from them how it ended."""
        with self._lock:
            of_connection = self._held.get(fields.get("connection", -1), [])
            mine = [one for one in of_connection if _same_request(one[1], fields)]
            of_connection[:] = [one for one in of_connection if one not in mine]
        for level, complaint in mine:
            if not fields.get("own") and any(word in complaint["message"] for word in _CUT):
                fields["completed"] = "cut"
            _say(level, complaint | {"request_id": fields.get("request_id", "")})


def _same_request(complaint: dict[str, Any], access: dict[str, Any]) -> bool:
    """Whether both are about one request; over HTTP/2 a connection has several at once."""
    return not complaint.get("path") or complaint["path"] == access.get("path")


def _say(level: str, fields: dict[str, Any]) -> None:
    getattr(_log, level)("nginx", **fields)
