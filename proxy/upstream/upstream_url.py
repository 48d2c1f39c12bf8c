"""Maps a client's path to the URL at an upstream.

A base URL is the one that an SDK takes, so a path in it replaces the client's `/v1`:

| base path | client's path | path at the upstream |
|---|---|---|
| none | any | the same |
| `/openai/v1` | `/v1/chat/completions` | `/openai/v1/chat/completions` |
| `/api/v4` | `/v1/chat/completions` | `/api/v4/chat/completions` |
| `/openai/v1` | `/v1beta/models` | `/openai/v1beta/models` (beside the version) |
| `/v1beta` | `/v1beta/models` | `/v1beta/models` (it stands for `/v1beta`) |
| `/v1beta` | `/v1/models` | `/v1/models` |
| `/v1beta/openai` | `/v1/chat/completions` | `/v1beta/openai/chat/completions` |
| `/v1beta/openai` | `/v1beta/models` | `/v1beta/models` |
| `/gemini` | `/v1beta/models` | `/gemini/v1beta/models` |
| any | `/health` | `/health` |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.errors import BadRequest

_VERSION = re.compile(r"v\d+[a-z0-9]*")
_SEPARATORS = re.compile(r"/|\\|%2f|%5c", re.IGNORECASE)
_ENCODED_DOT = re.compile(r"%2e", re.IGNORECASE)
_UNSENDABLE = re.compile(r"[\x00-\x20\x7f#]")


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A parsed base URL."""

    origin: str
    """Scheme, host and port."""
    path: str
    """Without a trailing slash; empty if the URL has no path."""

    @classmethod
    def of(cls, url: str) -> BaseUrl:
        """Parse a base URL, without user and password."""
        parts = urlsplit(url)
        return cls(f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}", parts.path.rstrip("/"))


def locate(base: BaseUrl, path: str) -> str:
    """Return the URL of a client's raw path and query at an upstream.

    Percent-encoding and query stay as the client wrote them. Raises `BadRequest` for a path that
    could leave the base (dot segments, however encoded) or is invalid in a request line.
    """
    bare, mark, query = path.partition("?")
    if not bare.startswith("/") or _UNSENDABLE.search(path):
        raise BadRequest("The path cannot be sent to an upstream.")
    pieces = _SEPARATORS.split(bare)
    if any(_ENCODED_DOT.sub(".", piece) in {".", ".."} for piece in pieces):
        raise BadRequest("The path has a dot segment.")
    return base.origin + _ascii(_placed(base.path, bare) + mark + query)


def _placed(base: str, path: str) -> str:
    version, slash, rest = path[1:].partition("/")
    below = slash + rest
    if not base or version not in {"v1", "v1beta"}:
        return path
    *above, last = base.split("/")
    if version == "v1":
        beside = last == "v1beta"
        return "/".join([*above, "v1"]) + below if beside else base + below
    if "v1beta" in (segments := base.split("/")):
        return "/".join(segments[: segments.index("v1beta") + 1]) + below
    return "/".join([*above, "v1beta"]) + below if _VERSION.fullmatch(last) else base + path


def _ascii(path: str) -> str:
    """Percent-encode bytes that are not ASCII (RFC 3986, 2)."""
    if path.isascii():
        return path
    raw = path.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in raw)
