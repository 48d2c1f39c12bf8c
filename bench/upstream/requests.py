"""HTTP/1.1 requests out of bytes, without I/O: just what gateways send to an upstream."""

from __future__ import annotations

from dataclasses import dataclass, field


class BadRequestError(ValueError):
    """The bytes are no HTTP/1.1 request that this upstream understands."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class RequestReader:
    """Feed bytes, get requests, however they are cut."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, data: bytes) -> list[Request]:
        """The requests that became complete.

        Raises BadRequestError.
        """
        self._buffer = self._buffer + data if self._buffer else data
        requests = []
        while self._buffer:
            taken = self._take()
            if taken is None:
                break
            requests.append(taken)
        return requests

    def _take(self) -> Request | None:
        head_end = self._buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        method, target, headers = _read_head(self._buffer[:head_end])
        if headers.get("transfer-encoding", "").lower() == "chunked":
            taken = _read_chunks(self._buffer, head_end + 4)
        else:
            taken = _read_length(self._buffer, head_end + 4, headers.get("content-length", "0"))
        if taken is None:
            return None
        body, end = taken
        self._buffer = self._buffer[end:]
        return Request(method, target, headers, body)


def _read_head(head: bytes) -> tuple[str, str, dict[str, str]]:
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    if len(words) != 3:
        raise BadRequestError(f"no request line: {lines[0][:80]!r}")
    headers = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return words[0], words[1], headers


def _read_length(buffer: bytes, start: int, length: str) -> tuple[bytes, int] | None:
    if not length.isdecimal():
        raise BadRequestError(f"no length: {length[:20]!r}")
    end = start + int(length)
    return (buffer[start:end], end) if len(buffer) >= end else None


def _read_chunks(buffer: bytes, start: int) -> tuple[bytes, int] | None:
    body: list[bytes] = []
    while True:
        line_end = buffer.find(b"\r\n", start)
        if line_end < 0:
            return None
        try:
            size = int(buffer[start:line_end].split(b";")[0], 16)
        except ValueError as error:
            raise BadRequestError("no chunk size") from error
        start = line_end + 2 + size + 2
        if len(buffer) < start:
            return None
        if size == 0:
            return b"".join(body), start
        body.append(buffer[line_end + 2 : start - 2])
