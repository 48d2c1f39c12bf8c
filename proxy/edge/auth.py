"""Authenticates clients: finds the configured key of a request."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from multidict import MultiMapping

from proxy.errors import BadRequest, NotAuthorized
from proxy.key_settings import KeySettings, digest_of

# One message for all three cases, so that it does not reveal which keys exist.
_REFUSED = "The request's API key is missing, unknown or expired."


def _now() -> datetime:
    return datetime.now(UTC)


class Keys:
    """The configured client keys, held as digests, so that timing reveals nothing about a key.

    An attacker cannot choose the digest of a guess, so the time of the dictionary lookup is of no
    use; the final comparison takes constant time.
    """

    def __init__(self, keys: Iterable[KeySettings], now: Callable[[], datetime] = _now) -> None:
        # Only the digest is kept in memory.
        self._keys = {
            key.digest: (key.digest, key.model_copy(update={"key": None})) for key in keys
        }
        self._now = now

    @property
    def empty(self) -> bool:
        """Whether no keys are configured, so that every client is admitted."""
        return not self._keys

    def key_of(self, headers: MultiMapping[str], query: MultiMapping[str]) -> KeySettings | None:
        """Return the configuration of the request's key; None if no keys are configured.

        Raises `NotAuthorized` if the request's key is unknown or expired, and `BadRequest` if it
        has two.
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
    """Return the key that a request carries, in any header or parameter SDKs use; empty if none.

    Raises `BadRequest` if it carries two different keys: another server on the way might choose the
    other one.
    """
    keys = {*_bearers(headers), *query.getall("key", ())}
    for name in ("x-api-key", "x-goog-api-key", "api-key"):
        keys.update(value.strip() for value in headers.getall(name, ()))
    keys.discard("")
    if len(keys) > 1:
        raise BadRequest("The request carries two API keys that differ.")
    return keys.pop() if keys else ""


def _bearers(headers: MultiMapping[str]) -> Iterator[str]:
    for value in headers.getall("Authorization", ()):
        scheme, _, bearer = value.strip().partition(" ")
        if scheme.lower() == "bearer":
            yield bearer.strip()
