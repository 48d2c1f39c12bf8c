"""Whose certificates of upstreams are accepted: always the system's, and a private CA's beside."""

from __future__ import annotations

import ssl


def tls_context(private_ca: str | None) -> ssl.SSLContext | None:
    """A context that verifies, with the CA of that file added; None for aiohttp's own default.

    Raises `ValueError` that names the setting where the file cannot be read or holds none.
    """
    if private_ca is None:
        return None
    context = ssl.create_default_context()
    load_ca(context, "SLUICE_UPSTREAM_CA", private_ca)
    return context


def load_ca(context: ssl.SSLContext, name: str, path: str) -> None:
    """Add the CAs of a file. Raises `ValueError` that names the setting where it holds none."""
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise ValueError(f"{name}: {path!r} holds no certificate in PEM.") from None
    except OSError as error:
        raise ValueError(f"{name}: {path!r} cannot be read ({error.strerror}).") from None
