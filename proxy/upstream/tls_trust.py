"""TLS trust for upstreams: the system's CAs, and optional private ones."""

from __future__ import annotations

import ssl


class TrustStores:
    """The TLS contexts for upstreams, one per file of private CAs.

    aiohttp pools connections by context, so that an unchanged file keeps its context.
    """

    def __init__(self) -> None:
        self._latest: dict[str, ssl.SSLContext] = {}

    def context(self, name: str, path: str | None) -> ssl.SSLContext | None:
        """Return a context with the CAs of that file added; None for aiohttp's default.

        Raises `ValueError`, naming the setting `name`, if the file is unreadable or invalid. It
        reads files.
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
    """Add the CAs of a file. Raises `ValueError`, naming the setting."""
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{name}: {path!r} contains no PEM certificate.") from None
    except OSError as error:
        raise ValueError(f"{name}: {path!r} cannot be read ({error.strerror}).") from None


def _trusted(context: ssl.SSLContext) -> set[bytes]:
    return set(context.get_ca_certs(binary_form=True))
