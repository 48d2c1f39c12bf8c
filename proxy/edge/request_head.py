"""What a request's head must be before anything is done for it (RFC 9112 and RFC 9110).

Where two servers read the same bytes differently, one request becomes two, or reaches what it must
not: nginx, aiohttp's parser and the upstreams' servers are each lenient in places of their own. So
whatever could be read in two ways is refused, with the connection, whoever was in front.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote_to_bytes

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web

from proxy.errors import BadRequest, NotFound
from proxy.refusals import HttpVersionNotSupported, MethodNotAllowed
from proxy.upstream.credentials import key_in_path

SPOKEN_VERSIONS = frozenset({HttpVersion10, HttpVersion11})
ALLOWED_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
"""For `Allow`; others that HTTP has are passed on, too, but these are what anybody could want."""
# TRACE would show the operator's key to whoever asks (RFC 9110, 9.3.8), CONNECT is for proxies.
_REFUSED_METHODS = frozenset({hdrs.METH_TRACE, hdrs.METH_CONNECT})
# No percent-encoding: what it could hide in a name is just what may not stand there.
_AUTHORITY = re.compile(
    r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=-]{1,255})(?::([0-9]{0,5}))?"
)
_LARGEST_PORT = 65_535
_ABSOLUTE = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)
_ENCODED_WRONGLY = re.compile("%(?![0-9A-Fa-f]{2})")
_CONTROLS = re.compile(rb"[\x00-\x1f\x7f]")
_OVERLONG = re.compile(rb"\xc0\xae|\xe0\x80\xae|\xf0\x80\x80\xae")
"""A dot as lenient decoders of UTF-8 read it."""
_SEPARATORS = re.compile(rb"/|\\|\xc0\xaf")
_SEGMENT_END = re.compile(rb"[;?#]")
"""Where some server ends a segment: parameters, or a query once the path has been decoded."""
_DECODED_TIMES = 3
_INTERNAL = "/internal/"


def check(request: web.Request) -> None:
    """Raise the refusal of a request that must not be routed.

    `BadRequest`, `HttpVersionNotSupported`, `MethodNotAllowed` or `NotFound`.
    """
    if request.version not in SPOKEN_VERSIONS:
        raise HttpVersionNotSupported("The request is in another version of HTTP.")
    if request.method in _REFUSED_METHODS:
        raise MethodNotAllowed(f"{request.method} is not served here.")
    _check_framing(request)
    _check_host(request)
    _check_form(request.raw_path)
    _check_path(origin_form(request))
    # Decoded, as the router will read it.
    if request.path.startswith(_INTERNAL) and not _came_by_unix_socket(request):
        raise NotFound("There is no such route.")


def origin_form(request: web.Request) -> str:
    """Path and query as the client wrote them, without the authority of an absolute target."""
    target = request.raw_path
    if target.startswith("/"):
        return target
    return _target(_ABSOLUTE.sub("", target, count=1))


def authority(request: web.Request) -> str:
    """The host and port that were asked: an absolute target's come before `Host` (RFC 9112, 3.2.2).

    Empty if the request names none.
    """
    found = _ABSOLUTE.match(request.raw_path)
    return found[1] if found else request.headers.get(hdrs.HOST, "")


def climbs(path: str) -> bool:
    """Whether some server could read a segment of the path as `.` or `..`.

    Servers differ in how often they decode, what they cut off behind `;`, and what else they take
    for a slash or a dot.
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
    """With plain characters in place of those that Unicode has as other forms of them (NFKC)."""
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
    # Only a proxy is asked for other schemes, or for an authority alone (RFC 9112, 3.2).
    if not target.startswith("/") and target != "*" and not _ABSOLUTE.match(target):
        raise BadRequest("The request target is neither a path nor a URL of http or https.")


def _check_path(target: str) -> None:
    path = target.partition("?")[0]
    if target == "*":
        return
    if not path.startswith("/") or path.startswith("//") or "#" in target:
        raise BadRequest("The request target is no path.")
    if _ENCODED_WRONGLY.search(path):
        raise BadRequest("The path has a % that encodes nothing.")
    if "\\" in path or "%5c" in path.lower():
        raise BadRequest("The path has a backslash.")
    if _has_control(path):
        raise BadRequest("The path has a control character.")
    if climbs(path):
        raise BadRequest("The path has a dot segment.")
    if key_in_path(path):
        raise BadRequest("The path has what can be a key; a key belongs in its header.")


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
