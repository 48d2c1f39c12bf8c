"""Who may ask the admin port: no page of another site, and nobody by a name that is not ours.

A page of any site can have its own name resolve to this machine (DNS rebinding) and then read what
it asks for; the name gives it away. Addresses cannot be resolved anew, so they are always ours.
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
"""What anybody may ask, by any name."""
_UNAUTHORIZED = "Send SLUICE_ADMIN_TOKEN as a Bearer token, or as the password of HTTP Basic."
_FOREIGN = frozenset({"cross-site", "same-site"})


def guard(names: Iterable[str], token: str = "") -> Middleware:
    """A middleware that answers 403 to all but these names, localhost and addresses.

    With a token, 401 to all who do not show it. Health checks are open to everybody: load
    balancers ask by names of their own, and what they learn is no secret.
    """
    known = frozenset(name.lower() for name in names)

    @web.middleware
    async def guarded(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.path not in OPEN:
            why = refusal(request.headers, known)
            if why is not None:
                return answer(403, "forbidden", why)
            if token and not shows(request.headers, token):
                refused = answer(401, "unauthorized", _UNAUTHORIZED)
                # A browser asks its user for it; any name will do.
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


def shows(headers: Mapping[str, str], token: str) -> bool:
    """Whether a request has the token: as a Bearer's (RFC 6750), or as a password (RFC 7617)."""
    scheme, _, said = headers.get("Authorization", "").partition(" ")
    said = said.strip()
    if scheme.lower() == "basic":
        try:
            said = base64.b64decode(said, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    # Digests, so that not even the length shows in the time it takes.
    return hmac.compare_digest(_digest(said), _digest(token))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def refusal(headers: Mapping[str, str], names: frozenset[str]) -> str | None:
    """Why a request with these headers is not answered; None if it is.

    A request without `Host`, as HTTP/1.0 allows, comes from no browser.
    """
    host = headers.get("Host", "")
    if host and not _is_ours(_name_of(host), names):
        return "This name is not known here; list it in SLUICE_ADMIN_HOSTS, or ask by address."
    origin = headers.get("Origin")
    if headers.get("Sec-Fetch-Site", "").lower() in _FOREIGN or (
        origin is not None and urlsplit(origin).netloc.lower() != host.lower()
    ):
        return "Pages of other origins may not ask the admin port."
    return None


def _name_of(host: str) -> str:
    """Without the port (RFC 9110, section 7.2); empty if it is no host."""
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
