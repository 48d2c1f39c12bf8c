"""A client of the admin port, for `sluice top`."""

from __future__ import annotations

import urllib.request

ANSWER_SECONDS = 5.0


def get(url: str, token: str = "") -> bytes:
    """Fetch a URL and return the body.

    Raises `ValueError` for a scheme other than HTTP's, `urllib.error.HTTPError` for an error
    status, `OSError` and `http.client.HTTPException` if there is no response.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError("the address must begin with http:// or https://")
    # Ignore the environment's proxies: the admin port is local.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url)  # noqa: S310 its scheme was checked
    if token:
        # Unredirected, so that a redirect's target does not get the token.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with opener.open(request, timeout=ANSWER_SECONDS) as answer:
        body: bytes = answer.read()
        return body
