"""Validates request heads before routing, against request smuggling (RFC 9112 and RFC 9110).

If two servers parse the same bytes differently, one request may become two, or reach a route that
it must not. nginx, aiohttp's parser and upstreams' servers are lenient in different places, so
every ambiguous head is refused and its connection closed.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from proxy.errors import BadRequest, NotFound
from proxy.request_errors import HttpVersionNotSupported, MethodNotAllowed
from proxy.upstream.credentials import key_in_path

SPOKEN_VERSIONS = frozenset({HttpVersion10, HttpVersion11})
ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""For the `Allow` header; further methods are relayed, too."""
# TRACE would echo the operator's key (RFC 9110, 9.3.8), CONNECT is for forward proxies.
_REFUSED_METHODS = frozenset({hdrs.METH_TRACE, hdrs.METH_CONNECT})
# Percent-encoding is refused: in a host name it can only hide forbidden characters.
_AUTHORITY = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=-]{1,255})(?::([0-9]{0,5}))?"
)
_LARGEST_PORT = 65_535
_ABSOLUTE = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_ENCODED_WRONGLY = re.compile("%(?![0-9A-Fa-f]{2})")
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_OVERLONG = re.compile(rb"\xc0\xae|\xe0\x80\xae|\xf0\x80\x80\xae")
"""Overlong UTF-8 encodings of a dot, which lenient decoders accept."""
_SEPARATORS = re.compile(rb"/|\\|\xc0\xaf")
_SEGMENT_END = re.compile(rb"[;?#]")
"""Where some servers end a segment: at parameters, or at a query in the decoded path."""
_DECODED_TIMES = 3
_INTERNAL = "/internal/"


def check(request: web.Request) -> None:
    """Check a request's head.

    Raises `BadRequest`, `HttpVersionNotSupported`, `MethodNotAllowed` or `NotFound`.
    """
    if request.version not in SPOKEN_VERSIONS:
        raise HttpVersionNotSupported("The request is neither HTTP/1.0 nor HTTP/1.1.")
    if request.method in _REFUSED_METHODS:
        raise MethodNotAllowed(f"{request.method} is not allowed.")
    _check_framing(request)
    _check_host(request)
    _check_form(request.raw_path)
    _check_path(origin_form(request))
    # `path` is decoded, as the router reads it.
    if request.path.startswith(_INTERNAL) and not _came_by_unix_socket(request):
        raise NotFound("There is no such route.")


def origin_form(request: web.Request) -> str:
    """Return path and query as the client wrote them, without an absolute target's authority."""
    target = request.raw_path
    if target.startswith("/"):
        return target
    return _target(_ABSOLUTE.sub("", target, count=1))


def authority(request: web.Request) -> str:
    """Return the requested host and port; empty if the request names none.

    An absolute target overrides `Host` (RFC 9112, 3.2.2).
    """
    match = _ABSOLUTE.match(request.raw_path)
    return match[1] if match else request.headers.get(hdrs.HOST, "")


def climbs(path: str) -> bool:
    """Whether some server could read a segment of the path as `.` or `..`.

    Servers differ in how often they decode, in what they cut off after `;`, and in which other
    bytes they accept as a slash or a dot.
    """
    raw = path.encode("utf-8", "surrogateescape")
    for _ in range(_DECODED_TIMES + 1):
        plain = _OVERLONG.sub(b".", raw)
        for segment in _SEPARATORS.split(plain) + _SEPARATORS.split(_folded(plain)):
            if _SEGMENT_END.split(segment, maxsplit=1)[0].strip() in {b".", b".."}:
                return True
        if b"%" not in raw:
            break
        raw = unquote_to_bytes(raw)
    return False


def _folded(path: bytes) -> bytes:
    """Replace compatibility characters by their plain forms (Unicode NFKC)."""
    if path.isascii():
        return b""
    return unicodedata.normalize("NFKC", path.decode("utf-8", "ignore")).encode()


def _check_framing(request: web.Request) -> None:
    codings = request.headers.getall(hdrs.TRANSFER_ENCODING, [])
    if not codings:
        return
    if request.version == HttpVersion10:
        raise BadRequest("HTTP/1.0 has no Transfer-Encoding.")
    if hdrs.CONTENT_LENGTH in request.headers:
        raise BadRequest("The body has a Content-Length and a Transfer-Encoding.")
    if [coding.strip().lower() for coding in codings] != ["chunked"]:
        raise BadRequest("The only Transfer-Encoding that is understood is chunked.")


def _check_host(request: web.Request) -> None:
    hosts = request.headers.getall(hdrs.HOST, [])
    if len(hosts) > 1:
        raise BadRequest("The request has more than one Host.")
    if not hosts and request.version == HttpVersion11:
        raise BadRequest("The request has no Host.")
    for named in (*hosts, *_ABSOLUTE.findall(request.raw_path)[:1]):
        parts = _AUTHORITY.fullmatch(named)
        if not parts or int(parts[1] or 0) > _LARGEST_PORT:
            raise BadRequest("The Host is not a valid host and port.")


def _check_form(target: str) -> None:
    # Other schemes, or an authority alone, are for forward proxies (RFC 9112, 3.2).
    if not target.startswith("/") and target != "*" and not _ABSOLUTE.match(target):
        raise BadRequest("The request target is neither a path nor a URL of http or https.")


def _check_path(target: str) -> None:
    path = target.partition("?")[0]
    if target == "*":
        return
    if not path.startswith("/") or path.startswith("//") or "#" in target:
        raise BadRequest("The request target is not a valid path.")
    if _ENCODED_WRONGLY.search(path):
        raise BadRequest("The path has an invalid percent-encoding.")
    if "\\" in path or "%5c" in path.lower():
        raise BadRequest("The path has a backslash.")
    if _has_control(path):
        raise BadRequest("The path has a control character.")
    if climbs(path):
        raise BadRequest("The path has a dot segment.")
    if key_in_path(path):
        raise BadRequest("The path contains what looks like a key; send it in a header.")


def _has_control(path: str) -> bool:
    raw = path.encode("utf-8", "surrogateescape")
    for _ in range(_DECODED_TIMES):
        raw = unquote_to_bytes(raw)
    return _CONTROLS.search(raw) is not None


def _target(rest: str) -> str:
    return rest if rest.startswith("/") or rest == "*" else f"/{rest}"


def _came_by_unix_socket(request: web.Request) -> bool:
    transport = request.transport
    return transport is not None and isinstance(transport.get_extra_info("sockname"), str)
