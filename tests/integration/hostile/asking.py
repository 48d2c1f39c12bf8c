"""What a row of the table of hostile requests is, and the bytes that rows are made of."""

from __future__ import annotations

from dataclasses import dataclass

MARK = b"sk-mark-4711"
"""A client's key: it may reach no upstream, no answer and no log."""
OPERATOR = b"sk-operator-0815"
"""The upstream's own key: it may reach nobody but the upstream."""
CLIENT = b"sk-client-1337"
"""What lets clients in, where keys are asked for."""
HOST = b"Host: sluice.test\r\n"
CHAT = b"/v1/chat/completions"


@dataclass(frozen=True)
class Row:
    """One request, and what becomes of it through nginx and at a worker alone."""

    name: str
    sent: bytes
    status: int
    reached: tuple[bytes, ...] = ()
    """Method and target of each request that the upstream must get, and of no other."""
    body: bytes | None = None
    """The body that reaches it, where it must be just that."""
    never: tuple[bytes, ...] = ()
    """What may not be in what reaches it, in lower case."""
    has: tuple[bytes, ...] = ()
    """What must be in it, in lower case."""
    keyed: int = 0
    """The status that it gets with a client's key, where that is another."""
    closes: bool = False
    """No other request may follow on the connection."""
    says: bytes = b""
    """What the answer's body must name."""


def head(method: bytes, target: bytes, *fields: bytes, version: bytes = b"1.1") -> bytes:
    """A head with a good Host."""
    lines = b"".join(field + b"\r\n" for field in fields)
    return method + b" " + target + b" HTTP/" + version + b"\r\n" + HOST + lines + b"\r\n"


def get(target: bytes, *fields: bytes, version: bytes = b"1.1") -> bytes:
    """A GET."""
    return head(b"GET", target, *fields, version=version)


def post(target: bytes, body: bytes, *fields: bytes, method: bytes = b"POST") -> bytes:
    """A body with its length."""
    return head(method, target, b"Content-Length: %d" % len(body), *fields) + body


def chunked(target: bytes, body: bytes, *fields: bytes, version: bytes = b"1.1") -> bytes:
    """A body in chunks, written as they are."""
    sent = head(b"POST", target, b"Transfer-Encoding: chunked", *fields, version=version)
    return sent + body


def refused(
    name: str, sent: bytes, status: int = 400, *, closes: bool = True, says: bytes = b""
) -> Row:
    """It reaches nobody, and nothing is read after it."""
    return Row(name, sent, status, closes=closes, says=says)


def passed(name: str, sent: bytes, reached: bytes, **more: bytes | tuple[bytes, ...]) -> Row:
    """It reaches the upstream as one request."""
    return Row(name, sent, 200, (reached,), **more)  # type: ignore[arg-type] # the row's own fields
