"""Which header fields go through, in both directions (RFC 9110, 7.6.1), and whose key goes along.

A message has two kinds of fields: those for the next hop only, which end here, and the rest,
which pass. Everything here is a plain function over plain values.
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

# Host is the upstream's. The body is whole by now, so its length is known anew and nobody has to
# be asked for permission to send it. The id is told anew. HTTP2-Settings belongs to an upgrade.
_REBUILT = frozenset({"content-length", "expect", "host", "http2-settings", "x-request-id"})
# They have some servers (IIS, Symfony) serve another path than the one that was looked at here.
_OTHER_PATH = frozenset({"x-original-uri", "x-original-url", "x-rewrite-url"})
# An upgrade is not passed on, and OpenAI's has browsers send their key in one of these.
_OF_UPGRADE = "sec-websocket-"

_TO_SLUICE = frozenset({"sluice-progress", "sluice-resumable"})
"""What a client asks of this gateway: another one behind it would do it again."""

_CONNECTION = ("Connection", "X-Sluice-Connection")
"""The second is the client's own Connection, as the nginx in front repeats it."""

# Which other origins may read an answer is Sluice's policy, and Alt-Svc names another host's ports.
_OWN_POLICY = frozenset({"alt-svc"})
_OWN_POLICY_PREFIXES = ("access-control-", "x-accel-")
# X-Accel-* would order the nginx in front to serve another file, to buffer or to slow down.

_CONTROLS = re.compile("[\x00-\x08\x0a-\x1f\x7f]")

REQUEST_ID = "X-Request-ID"
UPSTREAM_REQUEST_ID = "X-Upstream-Request-ID"
"""Where the upstream's own X-Request-ID is kept: its support asks for that one."""
# OpenAI's own (renamed above) and that of most servers; then Anthropic, Azure, Bedrock, Cloudflare.
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
    """What is known of the nearer side; an empty field leaves what the request says of it."""

    peer: str = ""
    """Address of whoever connected: appended to X-Forwarded-For."""
    scheme: str = ""
    """`http` or `https`: for X-Forwarded-Proto."""
    host: str = ""
    """The Host that the client asked: for X-Forwarded-Host."""
    tells_client: bool = True
    """Whether the upstream may learn who the client is and which host it asked."""
    trusted: bool = True
    """Whether what the request says of the client is believed, and so goes on."""


def request_headers(
    client: MultiMapping[str], hop: Hop, request_id: str, *, wants_stream: bool
) -> CIMultiDict[str]:
    """The client's end-to-end fields and those that a gateway adds, the same for every upstream.

    A stream is asked for without compression: a compressor holds tokens back.
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
    """The fields with the upstream's own key, in the field that its family wants, and no other."""
    keyed = without_credentials(headers)
    if family is Family.MESSAGES or "anthropic-version" in headers:
        keyed["x-api-key"] = api_key
    elif family is Family.GEMINI or _is_native_gemini(path):
        keyed["x-goog-api-key"] = api_key
    else:
        keyed["Authorization"] = f"Bearer {api_key}"
    return keyed


def closing(headers: MultiMapping[str]) -> CIMultiDict[str]:
    """The fields with the word that the connection ends with this answer (RFC 9112, 9.6)."""
    closed = CIMultiDict(headers)
    closed["Connection"] = "close"
    return closed


def response_headers(upstream: MultiMapping[str], *, rewritten: bool) -> CIMultiDict[str]:
    """The upstream's end-to-end fields as they may go to a client.

    `rewritten`: the body may not keep its length or its coding (an event stream), so both go.
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
            name = UPSTREAM_REQUEST_ID  # noqa: PLW2901 the field goes on under another name
        # A lenient parser lets control characters in; a strict writer refuses them (RFC 9110, 5.5).
        headers.add(name, _CONTROLS.sub(" ", value))
    return headers


def upstream_request_id(headers: MultiMapping[str]) -> str:
    """The upstream's own id of an answer whose headers are those for the client; empty if none.

    What does not look like an id is none: it is going to be written down.
    """
    for name in _UPSTREAM_IDS:
        found = headers.get(name, "")
        if _ID.fullmatch(found):
            return found
    return ""


def _named_in_connection(headers: MultiMapping[str]) -> frozenset[str]:
    listed: Iterable[str] = (value for name in _CONNECTION for value in headers.getall(name, ()))
    tokens = (token for value in listed for token in value.split(","))
    named = (_spelt(token.partition(";")[0].strip()) for token in tokens)
    # The nearer proxy's own words on the client's address are not the client's to take back.
    return frozenset(name for name in named if not name.startswith("x-forwarded-"))


def _without(headers: MultiMapping[str], dropped: frozenset[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        pair
        for pair in headers.items()
        if (spelt := _spelt(pair[0])) not in dropped and not spelt.startswith(_OF_UPGRADE)
    )


def _spelt(name: str) -> str:
    """A name as servers may read it that follow CGI (RFC 3875, 4.1.18): `_` stands for `-`."""
    return name.lower().replace("_", "-")


def _is_native_gemini(path: str) -> bool:
    """Whether the path is Gemini's own API; its OpenAI-compatible one takes a bearer token."""
    return path.startswith("/v1beta/") and not path.startswith("/v1beta/openai/")
