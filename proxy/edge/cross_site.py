"""Rejects cross-site requests that a foreign web page makes a browser send (CSRF).

A POST of `text/plain` needs no preflight (Fetch standard, 2.2.2), so CORS only keeps a page from
reading the response, not from spending the operator's key. Browsers send the request's origin in
`Sec-Fetch-Site` or `Origin`; clients that send neither are not checked.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from proxy.request_errors import CrossSite

_SITE = "Sec-Fetch-Site"
_OWN_SITE = frozenset({"same-origin", "none"})


def check(request: web.Request, allowed: tuple[str, ...], *, host: str, spends_key: bool) -> None:
    """Raise `CrossSite` for a browser's request from an origin that is not allowed.

    `host` is the host that the browser requested, possibly from a trusted proxy's header.
    `spends_key` says that clients need no key of their own, so that any request spends the
    operator's. Then `Origin` alone, which is all that older browsers send, is checked, too.
    """
    origin = request.headers.get(hdrs.ORIGIN, "").strip().lower()
    site = request.headers.get(_SITE, "").strip().lower()
    if not origin and not site:
        return
    if origin and ("*" in allowed or origin in allowed):
        return
    foreign = site == "cross-site"
    if spends_key and origin and site not in _OWN_SITE:
        foreign = foreign or not _is_own(origin, host)
    if foreign:
        raise CrossSite("The request comes from a web page of another site.")


def _is_own(origin: str, host: str) -> bool:
    """Whether a page of the gateway sent it; the scheme is ignored, as TLS may end in front."""
    return bool(host) and origin.partition("://")[2] == host.lower()
