"""The types of settings, with their bounds and validators."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field, HttpUrl

Port = Annotated[int, Field(ge=1, le=65535)]
Bytes = Annotated[int, Field(ge=0, le=2**50)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
SecondsOrOff = Annotated[float, Field(ge=0, le=86_400)]
"""0 switches it off."""


def listed(value: object) -> object:
    """Split a text at its commas; return any other value unchanged."""
    if isinstance(value, str):
        return tuple(part.strip().rstrip("/") for part in value.split(",") if part.strip())
    return value


def _plain_base(url: HttpUrl) -> HttpUrl:
    if url.query or url.fragment:
        raise ValueError("a base URL has no query and no fragment; set the key as api_key")
    if url.username or url.password:
        raise ValueError("a base URL has no user and no password; set the key as api_key")
    return url


BaseUrl = Annotated[HttpUrl, AfterValidator(_plain_base)]


def _address(text: str) -> str:
    """Validate an address to bind; names are rejected, as one may resolve to several addresses."""
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise ValueError("it must be an IPv4 or IPv6 address") from None


Address = Annotated[str, AfterValidator(_address)]


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text.strip("[]"), strict=False))
    except ValueError:
        raise ValueError("it must be an address or a network such as 10.0.0.0/8") from None


Network = Annotated[str, AfterValidator(_network)]

# RFC 6454, section 7: scheme, host and port, and no path.
_ORIGIN = re.compile(r"^[a-z][a-z0-9+.-]*://[a-z0-9._\[\]:-]+$")


def _origin(text: str) -> str:
    """Validate an origin; it is converted to lower case, as browsers send it."""
    text = text.lower()
    if text not in {"*", "null"} and not _ORIGIN.match(text):
        raise ValueError("an origin is scheme://host or scheme://host:port, without a path")
    return text


Origin = Annotated[str, AfterValidator(_origin)]

_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_SLUICES_OWN = {"internal", "healthz", "readyz", "selftest", "metrics", "status", "playground"}


def _path_prefix(text: str) -> str:
    """Validate a prefix: whole segments, no `.` or `..`, and not a route of Sluice's own."""
    if not _PREFIX.fullmatch(text):
        raise ValueError("a path prefix is /segment or /segment/segment, in letters and digits")
    if text.split("/")[1].lower() in _SLUICES_OWN:
        raise ValueError(f"{text} would hide a route of Sluice's own")
    return text


PathPrefix = Annotated[str, AfterValidator(_path_prefix)]
