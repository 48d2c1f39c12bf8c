"""Requests that a web page of somebody else makes its reader's browser send.

A POST of `text/plain` needs no preflight (Fetch standard, 2.2.2), so CORS alone keeps a page from
reading the answer, and not from spending the operator's key. Browsers say where such a request
comes from; other programs say nothing of it and are not asked.
"""

from __future__ import annotations

from aiohttp import hdrs, web

from proxy.refusals import CrossSite

_SITE = "Sec-Fetch-Site"
_OWN_SITE = frozenset({"same-origin", "none"})


def check(request: web.Request, allowed: tuple[str, ...], *, host: str, spends_key: bool) -> None:
    """Raise `CrossSite` for a browser's request on behalf of an origin that is not allowed.

    `host`: the one that the browser asked, which a trusted proxy in front may have to tell.
    `spends_key`: the operator's key is spent without one of the client's being asked for. Then a
    bare `Origin`, which is all that older browsers send, is enough.
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
    """Whether a page of the gateway's own sent it; the scheme is that of whoever is in front."""
    return bool(host) and origin.partition("://")[2] == host.lower()
