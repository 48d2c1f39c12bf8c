"""What one request holds of its key's limits, and what it says of them to the client."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.edge.estimates import Expected

if TYPE_CHECKING:
    from multidict import CIMultiDict

    from proxy.state.reservations import Reservation

_OTHERS = ("x-ratelimit-", "anthropic-ratelimit-")


@dataclass(slots=True)
class Claim:
    """A reservation, settled when the request ends; none where a limit said no."""

    reservation: Reservation | None = None
    expected: Expected = field(default_factory=Expected)
    body_bytes: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """What is left of the key's limits, for every answer."""

    def put_into(self, headers: CIMultiDict[str]) -> None:
        """State the key's limits in place of the upstream's, which are the operator's."""
        for name in [one for one in headers if one.lower().startswith(_OTHERS)]:
            headers.popall(name, None)
        headers.update(self.headers)
