"""Who calls: the client's key and the name it is configured under."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from multidict import MultiMapping
from pydantic import SecretStr

from proxy.errors import NotAuthorized


class Keys:
    """The configured client keys, held as digests so that a look-up leaks no timing of a key."""

    def __init__(self, keys: Mapping[str, SecretStr]) -> None:
        self._names = {_digest(key.get_secret_value()): name for name, key in keys.items()}

    def name_of(self, headers: MultiMapping[str], query: MultiMapping[str]) -> str:
        """The configured name of the request's key; empty where no keys are configured.

        Raises `NotAuthorized` if keys are configured and the request has none of them.
        """
        if not self._names:
            return ""
        key = presented(headers, query)
        if not key:
            raise NotAuthorized("The request has no API key.")
        name = self._names.get(_digest(key))
        if name is None:
            raise NotAuthorized("The API key is not known here.")
        return name


def presented(headers: MultiMapping[str], query: MultiMapping[str]) -> str:
    """The key that a request carries, in any of the fields that SDKs put it; empty if none."""
    scheme, _, bearer = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and bearer:
        return bearer.strip()
    for name in ("x-api-key", "x-goog-api-key", "api-key"):
        if key := headers.get(name):
            return key
    return query.get("key", "")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
