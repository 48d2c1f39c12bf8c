"""Guards the admin port against cross-site requests and DNS rebinding, and checks its token.

A page of any site can make its own host name resolve to this machine (DNS rebinding) and then read
the admin port's responses; its `Host` header reveals that. IP addresses cannot be rebound, so they
are always allowed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from proxy.appliance.admin_server import refusal as answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiohttp.typedefs import Middleware

OPEN = frozenset({"/healthz", "/readyz"})
"""Routes that need neither an allowed host nor a token."""
_UNAUTHORIZED = "Send SLUICE_ADMIN_TOKEN as a Bearer token, or as the password of HTTP Basic."
_FOREIGN = frozenset({"cross-site", "same-site"})


def guard(names: Iterable[str], token: str = "") -> Middleware:
    """Return a middleware that answers 403 unless the host is in `names`, localhost or an address.

    With a token, it answers 401 to requests without it. Health checks are open: load balancers use
    host names of their own, and the answers are not secret.
    """
    known = frozenset(name.lower() for name in names)

    @web.middleware
    async def guarded(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path not in OPEN:
            reason = refusal(request.headers, known)
            if reason is not None:
                return answer(403, "forbidden", reason)
            if token and not has_token(request.headers, token):
                refused = answer(401, "unauthorized", _UNAUTHORIZED)
                # Makes a browser ask for the password; the user name is ignored.
                refused.headers["WWW-Authenticate"] = 'Basic realm="Sluice", charset="UTF-8"'
                return refused
        try:
            return await handler(request)
        except web.HTTPException as error:
            code = "_".join(error.reason.lower().split())
            refused = answer(error.status, code, f"{error.reason}.")
            if "Allow" in error.headers:
                refused.headers["Allow"] = error.headers["Allow"]
            return refused

    return guarded


def has_token(headers: Mapping[str, str], token: str) -> bool:
    """Whether a request has the token, as a Bearer token (RFC 6750) or password (RFC 7617)."""
    scheme, _, presented = headers.get("Authorization", "").partition(" ")
    presented = presented.strip()
    if scheme.lower() == "basic":
        try:
            presented = base64.b64decode(presented, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    # Compare digests, so that timing does not reveal the token's length either.
    return hmac.compare_digest(_digest(presented), _digest(token))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def refusal(headers: Mapping[str, str], names: frozenset[str]) -> str | None:
    """Return why a request with these headers is refused; None if it is allowed.

    A request without `Host`, as HTTP/1.0 allows, is not a browser's.
    """
    host = headers.get("Host", "")
    if host and not _is_ours(_name_of(host), names):
        return "This host name is not allowed; list it in SLUICE_ADMIN_HOSTS, or use an address."
    origin = headers.get("Origin")
    if headers.get("Sec-Fetch-Site", "").lower() in _FOREIGN or (
        origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    ):
        return "Pages of other origins may not use the admin port."
    return None


def _name_of(host: str) -> str:
    """Return the host without its port (RFC 9110, section 7.2); empty if malformed."""
    try:
        return (urlsplit(f"//{host}").hostname or "").removesuffix(".")
    except ValueError:
        return ""


def _is_ours(name: str, names: frozenset[str]) -> bool:
    if name in names or name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
