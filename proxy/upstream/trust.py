"""Whose certificates of upstreams are accepted: always the system's, and a private CA's beside."""

from __future__ import annotations

import ssl


class TrustStores:
    """The contexts that verify upstreams, one for each file of private CAs.

    Connections are kept by their context, so a file that says what it said before keeps its own.
    """

    def __init__(self) -> None:
        self._latest: dict[str, ssl.SSLContext] = {}

    def context(self, name: str, path: str | None) -> ssl.SSLContext | None:
        """A context that verifies, with the CAs of that file added; None for aiohttp's own default.

        `name` is the setting; raises `ValueError` that names it where the file cannot be read or
        holds none. It reads files.
        """
        if path is None:
            return None
        context = ssl.create_default_context()
        load_ca(context, name, path)
        before = self._latest.get(path)
        if before is not None and _trusted(before) == _trusted(context):
            return before
        self._latest[path] = context
        return context


def load_ca(context: ssl.SSLContext, name: str, path: str) -> None:
    """Add the CAs of a file. Raises `ValueError` that names the setting where it holds none."""
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{name}: {path!r} holds no certificate in PEM.") from None
    except OSError as error:
        raise ValueError(f"{name}: {path!r} cannot be read ({error.strerror}).") from None


def _trusted(context: ssl.SSLContext) -> set[bytes]:
    return set(context.get_ca_certs(binary_form=True))
