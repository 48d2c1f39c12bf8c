"""What a request says of its key's limits."""

from __future__ import annotations

from multidict import CIMultiDict

from proxy.edge.limit_claim import LimitClaim


def test_in_place_of_the_upstreams() -> None:
    """The operator's own limits are not the client's to see, whatever their case."""
    headers = CIMultiDict(
        {"X-RateLimit-Limit-Tokens": "9", "anthropic-ratelimit-input-tokens-limit": "9", "A": "b"}
    )
    LimitClaim(headers={"x-ratelimit-limit-requests": "5"}).put_into(headers)
    assert dict(headers) == {"A": "b", "x-ratelimit-limit-requests": "5"}
