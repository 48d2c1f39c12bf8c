"""One question to the admin port, with the operator's token where there is one."""

from __future__ import annotations

import urllib.request

ANSWER_SECONDS = 5.0


def get(url: str, token: str = "") -> bytes:
    """The body of the answer.

    Raises `ValueError` for another scheme than HTTP's, `urllib.error.HTTPError` for a refusal,
    `OSError` and `http.client.HTTPException` where there is no answer.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError("the address must begin with http:// or https://")
    # The admin port is near: a proxy of the environment is meant for the world outside.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url)  # noqa: S310 its scheme has been looked at
    if token:
        # Not for whoever a redirect names.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    with opener.open(request, timeout=ANSWER_SECONDS) as answer:
        body: bytes = answer.read()
        return body
