"""One request's claim on its key's limits, and the rate-limit headers of its response."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.edge.token_estimates import Expected

if TYPE_CHECKING:
    from multidict import CIMultiDict

    from proxy.state.reservations import Reservation

_OTHERS = ("x-ratelimit-", "anthropic-ratelimit-")


@dataclass(slots=True)
class LimitClaim:
    """A reservation, settled when the request ends; None if a limit is exceeded."""

    reservation: Reservation | None = None
    expected: Expected = field(default_factory=Expected)
    body_bytes: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """The rate-limit headers of the response."""

    def put_into(self, headers: CIMultiDict[str]) -> None:
        """Replace the upstream's rate-limit headers, which are the operator's, by the key's."""
        for name in [header for header in headers if header.lower().startswith(_OTHERS)]:
            headers.popall(name, None)
        headers.update(self.headers)
