"""Filters header fields in both directions (RFC 9110, 7.6.1), and adds the upstream's key.

Hop-by-hop fields are dropped, end-to-end fields are passed on. All functions are pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from proxy.record import Family
from proxy.upstream.client_address import tells_client
from proxy.upstream.credentials import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable

    from multidict import MultiMapping

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-sluice-connection",
        "x-sluice-peer",
        "x-sluice-request-id",
        "x-sluice-scheme",
    }
)

# Set again for the upstream: Host, the request id, and, as the body is complete, Content-Length
# without Expect. HTTP2-Settings belongs to an upgrade.
_REBUILT = frozenset({"content-length", "expect", "host", "http2-settings", "x-request-id"})
# They make some servers (IIS, Symfony) serve another path than the one that was checked here.
_OTHER_PATH = frozenset({"x-original-uri", "x-original-url", "x-rewrite-url"})
# Upgrades are not relayed, and OpenAI's puts browsers' keys into one of these fields.
_OF_UPGRADE = "sec-websocket-"

_TO_SLUICE = frozenset({"sluice-progress", "sluice-resumable"})
"""Requests to this gateway, which another one behind it must not repeat."""

_CONNECTION = ("Connection", "X-Sluice-Connection")
"""The second is the client's own Connection, as the nginx in front repeats it."""

# CORS is Sluice's policy, and Alt-Svc names another host's ports.
_OWN_POLICY = frozenset({"alt-svc"})
_OWN_POLICY_PREFIXES = ("access-control-", "x-accel-")
# X-Accel-* would make the nginx in front serve another file, buffer or throttle.

_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f]")

REQUEST_ID = "X-Request-ID"
UPSTREAM_REQUEST_ID = "X-Upstream-Request-ID"
"""The header for the upstream's own X-Request-ID, which its support asks for."""
# OpenAI's and most servers' (renamed above); then Anthropic, Azure, Bedrock, Cloudflare.
_UPSTREAM_IDS = (
    UPSTREAM_REQUEST_ID,
    "Request-Id",
    "apim-request-id",
    "x-ms-request-id",
    "x-amzn-RequestId",
    "cf-ray",
)
_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@dataclass(frozen=True, slots=True)
class Hop:
    """The client's side of the request; for an empty field the request's own header is kept."""

    peer: str = ""
    """The address of the connection's peer, appended to X-Forwarded-For."""
    scheme: str = ""
    """`http` or `https`: for X-Forwarded-Proto."""
    host: str = ""
    """The Host that the client requested: for X-Forwarded-Host."""
    tells_client: bool = True
    """Whether the upstream may learn the client's address and the requested host."""
    trusted: bool = True
    """Whether the request's forwarding headers are trusted, and so passed on."""


def request_headers(
    client: MultiMapping[str], hop: Hop, request_id: str, *, wants_stream: bool
) -> CIMultiDict[str]:
    """Build the fields for every upstream: the client's end-to-end ones, and the gateway's.

    Streams are requested without compression, which would delay tokens.
    """
    dropped = HOP_BY_HOP | _REBUILT | _TO_SLUICE | _OTHER_PATH | _named_in_connection(client)
    headers = _without(client, dropped)
    if not (hop.tells_client and hop.trusted):
        headers = CIMultiDict(pair for pair in headers.items() if not tells_client(pair[0]))
    if hop.peer and hop.tells_client:
        before = headers.popall("X-Forwarded-For", ())
        headers["X-Forwarded-For"] = ", ".join((*before, hop.peer))
    if hop.scheme:
        headers["X-Forwarded-Proto"] = hop.scheme
    if hop.host and hop.tells_client:
        headers["X-Forwarded-Host"] = hop.host
    headers[REQUEST_ID] = request_id
    if wants_stream:
        headers["Accept-Encoding"] = "identity"
    return headers


def with_key(
    headers: MultiMapping[str], api_key: str, family: Family, path: str
) -> CIMultiDict[str]:
    """Replace all keys by the upstream's, in the field of its family."""
    keyed = without_credentials(headers)
    if family is Family.MESSAGES or "anthropic-version" in headers:
        keyed["x-api-key"] = api_key
    elif family is Family.GEMINI or _is_native_gemini(path):
        keyed["x-goog-api-key"] = api_key
    else:
        keyed["Authorization"] = f"Bearer {api_key}"
    return keyed


def closing(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """Add `Connection: close` (RFC 9112, 9.6)."""
    closed = CIMultiDict(headers)
    closed["Connection"] = "close"
    return closed


def response_headers(upstream: MultiMapping[str], *, rewritten: bool) -> CIMultiDict[str]:
    """Return the upstream's fields that are passed to the client.

    `rewritten` says that the body may change its length or coding, as an event stream's does.
    """
    dropped = HOP_BY_HOP | _OWN_POLICY | _named_in_connection(upstream)
    if rewritten:
        dropped = dropped | {"content-encoding", "content-length"}
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in upstream.items():
        lowered = name.lower()
        if _spelt(name) in dropped or lowered.startswith(_OWN_POLICY_PREFIXES):
            continue
        if lowered == "x-request-id":
            name = UPSTREAM_REQUEST_ID  # noqa: PLW2901 the field is renamed
        # aiohttp's parser accepts control characters that its writer rejects (RFC 9110, 5.5).
        headers.add(name, _CONTROLS.sub(" ", value))
    return headers


def upstream_request_id(headers: MultiMapping[str]) -> str:
    """Return the upstream's own id of a response, from the client's headers; empty if none.

    It is logged, so an ill-formed one is ignored.
    """
    for name in _UPSTREAM_IDS:
        request_id = headers.get(name, "")
        if _ID.fullmatch(request_id):
            return request_id
    return ""


def _named_in_connection(headers: MultiMapping[str]) -> frozenset[str]:
    listed: Iterable[str] = (value for name in _CONNECTION for value in headers.getall(name, ()))
    tokens = (token for value in listed for token in value.split(","))
    named = (_spelt(token.partition(";")[0].strip()) for token in tokens)
    # A client must not remove the forwarding headers of the proxy in front.
    return frozenset(name for name in named if not name.startswith("x-forwarded-"))


def _without(headers: MultiMapping[str], dropped: frozenset[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        pair
        for pair in headers.items()
        if (spelt := _spelt(pair[0])) not in dropped and not spelt.startswith(_OF_UPGRADE)
    )


def _spelt(name: str) -> str:
    """Normalize a name as CGI-like servers do (RFC 3875, 4.1.18): `_` equals `-`."""
    return name.lower().replace("_", "-")


def _is_native_gemini(path: str) -> bool:
    """Whether the path is Gemini's own API, not its OpenAI-compatible one."""
    return path.startswith("/v1beta/") and not path.startswith("/v1beta/openai/")
