"""Maps errors of aiohttp's client and of the system to Sluice's own, in one place."""

from __future__ import annotations

import ssl

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from proxy.errors import (
    ConnectFailed,
    ConnectTimeout,
    Overloaded,
    SluiceError,
    UpstreamCut,
    UpstreamInvalid,
    UpstreamReset,
)
from proxy.http.upstream_connection import BadHead
from proxy.upstream.local_shortage import is_own_shortage

CLIENT_ERRORS = (aiohttp.ClientError, OSError, HttpProcessingError)
"""The errors that a call to an upstream may raise."""

# The first match counts, so special cases precede general ones.
_REQUEST_ERRORS: tuple[tuple[type[BaseException], type[SluiceError], str], ...] = (
    (aiohttp.ConnectionTimeoutError, ConnectTimeout, "{} took too long to connect."),
    (aiohttp.ClientConnectorDNSError, ConnectFailed, "{}: DNS lookup failed."),
    (aiohttp.ClientSSLError, ConnectFailed, "{} cannot be reached by TLS: {}."),
    (ssl.SSLError, ConnectFailed, "{} cannot be reached by TLS: {}."),
    (aiohttp.ClientConnectorError, ConnectFailed, "{} cannot be reached: {}."),
    (aiohttp.InvalidURL, ConnectFailed, "{} cannot be reached: its URL is invalid."),
    (
        aiohttp.ServerDisconnectedError,
        UpstreamReset,
        "{} closed the connection without a response.",
    ),
    (aiohttp.ClientResponseError, UpstreamInvalid, "{} sent an invalid HTTP response."),
    (aiohttp.ClientPayloadError, UpstreamInvalid, "{} sent an invalid HTTP response."),
    (HttpProcessingError, UpstreamInvalid, "{} sent an invalid HTTP response."),
)


def map_request_error(error: BaseException, upstream: str, *, in_pool_queue: bool) -> SluiceError:
    """Map an error before the response's head.

    `in_pool_queue` says that the call was still waiting for one of `SLUICE_POOL_CONNECTIONS`.
    """
    if is_own_shortage(error):
        return _own_shortage()
    if in_pool_queue and isinstance(error, aiohttp.ConnectionTimeoutError):
        return Overloaded("No connection to an upstream became free in time.")
    if isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str):
        return UpstreamInvalid(f"Upstream {upstream} closed the connection within its headers.")
    if isinstance(error.__cause__, BadHead):
        return UpstreamInvalid(f"Upstream {upstream} {error.__cause__.message}.")
    for kind, named, sentence in _REQUEST_ERRORS:
        if isinstance(error, kind):
            return named("Upstream " + sentence.format(upstream, _reason(error)))
    return UpstreamReset(f"Upstream {upstream} reset the connection: {_reason(error)}.")


def map_body_error(error: BaseException, upstream: str) -> SluiceError:
    """Map an error within the response's body."""
    if is_own_shortage(error):
        return _own_shortage()
    return UpstreamCut(f"Upstream {upstream} stopped before the end: {_reason(error)}.")


def _own_shortage() -> Overloaded:
    return Overloaded("The gateway is out of file descriptors or memory.")


def _reason(error: BaseException) -> str:
    """Return the system's error message, without the upstream's address."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            certificate = error.certificate_error
            message = str(getattr(certificate, "verify_message", "") or "bad certificate")
            # "Hostname mismatch, certificate is not valid for 'the address'."
            return message.partition(",")[0].lower()
        case ssl.SSLError(reason=str(reason)):
            return reason.replace("_", " ").lower()
        case OSError(strerror=str(message)) if "[" not in message:
            return message.lower()
        case _:
            return "connection lost"
