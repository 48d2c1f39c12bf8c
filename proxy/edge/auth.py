"""Who calls: the client's key and what is configured under it."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from multidict import MultiMapping

from proxy.errors import BadRequest, NotAuthorized
from proxy.key_settings import KeySettings, digest_of

# The same for all three, so that nobody learns which keys exist.
_REFUSED = "The request's API key is missing, unknown or expired."


def _now() -> datetime:
    return datetime.now(UTC)


class Keys:
    """The configured client keys, held as digests: what a look-up compares tells nothing of a key.

    An attacker cannot choose the digest of what is tried, so that the time of the dictionary's
    search says nothing either; the last comparison takes constant time.
    """

    def __init__(self, keys: Iterable[KeySettings], now: Callable[[], datetime] = _now) -> None:
        # The key itself is not kept.
        self._keys = {
            key.digest: (key.digest, key.model_copy(update={"key": None})) for key in keys
        }
        self._now = now

    @property
    def empty(self) -> bool:
        """Whether anybody is let in."""
        return not self._keys

    def key_of(self, headers: MultiMapping[str], query: MultiMapping[str]) -> KeySettings | None:
        """What is configured for the request's key; None where no keys are configured.

        Raises `NotAuthorized` if keys are configured and the request's is none of them, or has
        expired; `BadRequest` if it has two.
        """
        if not self._keys:
            return None
        digest = digest_of(presented(headers, query))
        kept, key = self._keys.get(digest, (b"", None))
        if key is None or not hmac.compare_digest(kept, digest) or self._expired(key):
            raise NotAuthorized(_REFUSED)
        return key

    def _expired(self, key: KeySettings) -> bool:
        return key.expires is not None and key.expires <= self._now()


def presented(headers: MultiMapping[str], query: MultiMapping[str]) -> str:
    """The key that a request carries, in any of the fields that SDKs put it; empty if none.

    Raises `BadRequest` where it carries two that differ: which one counts would be a guess, and
    another server on the way might guess otherwise.
    """
    found = {*_bearers(headers), *query.getall("key", ())}
    for name in ("x-api-key", "x-goog-api-key", "api-key"):
        found.update(value.strip() for value in headers.getall(name, ()))
    found.discard("")
    if len(found) > 1:
        raise BadRequest("The request carries two API keys that differ.")
    return found.pop() if found else ""


def _bearers(headers: MultiMapping[str]) -> Iterator[str]:
    for value in headers.getall("Authorization", ()):
        scheme, _, bearer = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            yield bearer.strip()
