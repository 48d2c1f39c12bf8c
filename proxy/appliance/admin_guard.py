"""Who may ask the admin port: no page of another site, and nobody by a name that is not ours.

A page of any site can have its own name resolve to this machine (DNS rebinding) and then read what
it asks for; the name gives it away. Addresses cannot be resolved anew, so they are always ours.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aiohttp.typedefs import Middleware

_FOREIGN = frozenset({"cross-site", "same-site"})


def guard(names: Iterable[str]) -> Middleware:
    """A middleware that answers 403 to all but these names, localhost and addresses."""
    known = frozenset(name.lower() for name in names)

    @web.middleware
    async def guarded(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        why = refusal(request.headers, known)
        if why is None:
            return await handler(request)
        return web.json_response({"error": {"message": why, "code": "forbidden"}}, status=403)

    return guarded


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
