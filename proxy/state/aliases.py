"""Other names of things in the store: which stream, and which upstream, made a response.

Kept for a day. Whoever asks for a response by its id, or goes on from one, meets the upstream that
has it, whichever worker or machine it comes to.
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
    """What is known under a response's id."""

    stream: str
    """The id of its stream's log; empty if it has none."""
    upstream: str
    """The name of the upstream that made it."""


def aliased(response_id: str, stream: str, upstream: str) -> Command:
    """The command that keeps it."""
    value = f"{stream or _NONE} {upstream}"
    return ("SET", _key("r", response_id), value, "EX", KEPT_SECONDS)


async def alias_of(store: Store, response_id: str) -> Alias | None:
    """What is known under an id; None if nothing is. Raises `StoreUnavailable`."""
    text = await _get(store, _key("r", response_id))
    if text is None:
        return None
    stream, _, upstream = text.partition(" ")
    return Alias("" if stream == _NONE else stream, upstream)


def asked(question: str, stream: str, seconds: int) -> Command:
    """The command that keeps which stream answers a question."""
    return ("SET", _key("q", question), stream, "EX", seconds)


def answered(question: str) -> Command:
    """The command that forgets it: the answer has been read."""
    return ("DEL", _key("q", question))


async def answers(store: Store, question: str) -> str | None:
    """The id of the stream that answers a question. Raises `StoreUnavailable`."""
    return await _get(store, _key("q", question))


async def _get(store: Store, key: str) -> str | None:
    [found] = await store.pipeline([("GET", key)], store.timeout)
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else None


def _key(kind: str, name: str) -> str:
    # Digests: ids are whatever an upstream or a client made of them.
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()
    return key_of(f"{kind}:{digest[:32]}", "is")
