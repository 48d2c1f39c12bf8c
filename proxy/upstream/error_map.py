"""Turns the HTTP client's and the system's errors into Sluice's own, once, at the border."""

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
from proxy.http.connection import BadHead
from proxy.upstream.shortage import is_own_shortage

CLIENT_ERRORS = (aiohttp.ClientError, OSError, HttpProcessingError)
"""All that a call to an upstream may raise."""

# The first row that fits counts, so the special stand before the general.
_REQUEST_ERRORS: tuple[tuple[type[BaseException], type[SluiceError], str], ...] = (
    (aiohttp.ConnectionTimeoutError, ConnectTimeout, "{} took too long to connect."),
    (aiohttp.ClientConnectorDNSError, ConnectFailed, "{} has an address that is unknown."),
    (aiohttp.ClientSSLError, ConnectFailed, "{} cannot be reached by TLS: {}."),
    (ssl.SSLError, ConnectFailed, "{} cannot be reached by TLS: {}."),
    (aiohttp.ClientConnectorError, ConnectFailed, "{} cannot be reached: {}."),
    (aiohttp.InvalidURL, ConnectFailed, "{} cannot be reached: its address is no address."),
    (aiohttp.ServerDisconnectedError, UpstreamReset, "{} closed the connection unanswered."),
    (aiohttp.ClientResponseError, UpstreamInvalid, "{} sent no HTTP answer."),
    (aiohttp.ClientPayloadError, UpstreamInvalid, "{} sent no HTTP answer."),
    (HttpProcessingError, UpstreamInvalid, "{} sent no HTTP answer."),
)


def map_request_error(error: BaseException, upstream: str, *, in_pool_queue: bool) -> SluiceError:
    """What an error before the answer's head means.

    `in_pool_queue`: the call was still waiting for one of `SLUICE_POOL_CONNECTIONS`.
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
    """What an error within the answer's body means."""
    if is_own_shortage(error):
        return _own_shortage()
    return UpstreamCut(f"Upstream {upstream} stopped before the end: {_reason(error)}.")


def _own_shortage() -> Overloaded:
    return Overloaded("The gateway has no file descriptor or no memory left for this.")


def _reason(error: BaseException) -> str:
    """The system's words for it; never an address, which is the operator's own business."""
    match error:
        case aiohttp.ClientConnectorCertificateError():
            certificate = error.certificate_error
            words = str(getattr(certificate, "verify_message", "") or "bad certificate")
            # "Hostname mismatch, certificate is not valid for 'the address'."
            return words.partition(",")[0].lower()
        case ssl.SSLError(reason=str(reason)):
            return reason.replace("_", " ").lower()
        case OSError(strerror=str(words)) if "[" not in words:
            return words.lower()
        case _:
            return "connection lost"
