"""Looks up by a response's id which stream and which upstream made it, and by question its stream.

Aliases are kept for a day. A request that names a response, or continues one, is sent to the
upstream that has it, whichever worker or machine receives the request.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from proxy.state.store import key_of

if TYPE_CHECKING:
    from proxy.state.backend import Command
    from proxy.state.store import Store

KEPT_SECONDS = 86_400
_NONE = "-"


class Alias(NamedTuple):
    """What the store knows of a response."""

    stream: str
    """The id of the stream's log; empty without a log."""
    upstream: str
    """The name of the upstream that made it."""


def set_alias(response_id: str, stream: str, upstream: str) -> Command:
    """Return the command that stores an alias."""
    value = f"{stream or _NONE} {upstream}"
    return ("SET", _key("r", response_id), value, "EX", KEPT_SECONDS)


async def get_alias(store: Store, response_id: str) -> Alias | None:
    """Look an alias up; None if there is none. Raises `StoreUnavailable`."""
    text = await _get(store, _key("r", response_id))
    if text is None:
        return None
    stream, _, upstream = text.partition(" ")
    return Alias("" if stream == _NONE else stream, upstream)


def set_question(question: str, stream: str, seconds: int) -> Command:
    """Return the command that stores which stream answers a question."""
    return ("SET", _key("q", question), stream, "EX", seconds)


def delete_question(question: str) -> Command:
    """Return the command that deletes the entry once the answer has been read."""
    return ("DEL", _key("q", question))


async def stream_of_question(store: Store, question: str) -> str | None:
    """Look up the id of the stream that answers a question. Raises `StoreUnavailable`."""
    return await _get(store, _key("q", question))


async def _get(store: Store, key: str) -> str | None:
    [value] = await store.pipeline([("GET", key)], store.timeout)
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else None


def _key(kind: str, name: str) -> str:
    # Hashed, because ids and questions are arbitrary text from upstreams and clients.
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return key_of(f"{kind}:{digest[:32]}", "is")
