"""A worker's reservations: renewed while their requests run, settled when they end."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from typing import TYPE_CHECKING, Any, Self

from proxy.state.error_map import StoreUnavailable
from proxy.state.limits import LEASE_SECONDS, NOTHING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.state.limits import KeyLedger, Usage, Verdict

RENEW_SECONDS = LEASE_SECONDS / 4
"""A reservation survives three lost renewals."""
_MOST_UNSETTLED = 10_000
"""Settlements queued while the store is unavailable; the oldest are dropped first."""


class Reservation:
    """The reservation of one request. `settle` does not block; only its first call counts."""

    def __init__(self, owner: Reservations, ledger: KeyLedger, expected: Usage) -> None:
        self.id = secrets.token_hex(8)
        self.ledger = ledger
        self.expected = expected
        self._owner = owner
        self._settled = False

    def settle(self, used: Usage) -> None:
        """Settle with the request's actual usage; `NOTHING` if no upstream was called."""
        if not self._settled:
            self._settled = True
            self._owner.ended(self, used)


class Reservations:
    """All reservations of a worker; a context manager.

    Closing settles nothing that is still held: by then every request has settled its own.
    """

    def __init__(self, renew_seconds: float = RENEW_SECONDS) -> None:
        self._seconds = renew_seconds
        self._held: dict[KeyLedger, dict[str, Reservation]] = {}
        self._unsettled: deque[tuple[Reservation, Usage]] = deque(maxlen=_MOST_UNSETTLED)
        self._settling: set[asyncio.Future[Any]] = set()
        self._renewing: asyncio.Task[None] | None = None
        self.when_settled: Callable[[str], None] = _nobody_waits
        """Called with the key's name when the store has confirmed a settlement."""

    async def __aenter__(self) -> Self:
        """Start renewing."""
        self._renewing = asyncio.create_task(self._renew_forever())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Send queued settlements, and stop."""
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.gather(self._renewing, return_exceptions=True)
        self._settle_again()
        if self._settling:
            await asyncio.wait(self._settling, timeout=1)

    @property
    def held(self) -> int:
        """The number of requests that hold a reservation."""
        return sum(map(len, self._held.values()))

    async def reserve(
        self, ledger: KeyLedger, expected: Usage
    ) -> tuple[Reservation | None, Verdict]:
        """Reserve for one request. The reservation is None if a limit is exceeded.

        Raises `StoreUnavailable`; a caller that admits the request nevertheless uses `uncounted`.
        """
        reservation = Reservation(self, ledger, expected)
        try:
            verdict = await ledger.reserve(reservation.id, expected)
        except (StoreUnavailable, asyncio.CancelledError):
            # The store may have made the reservation, and no request will use it.
            self.ended(reservation, NOTHING)
            raise
        if verdict.limit is not None:
            return None, verdict
        self._hold(reservation)
        return reservation, verdict

    def uncounted(self, ledger: KeyLedger, expected: Usage) -> Reservation:
        """Hold a reservation that the store does not know yet; the next renewal adds it."""
        reservation = Reservation(self, ledger, expected)
        self._hold(reservation)
        return reservation

    def ended(self, reservation: Reservation, used: Usage) -> None:
        """Settle a reservation now, or as soon as the store is available again."""
        ledger = reservation.ledger
        of_key = self._held.get(ledger, {})
        of_key.pop(reservation.id, None)
        if not of_key:
            self._held.pop(ledger, None)
        self._settle(reservation, used)

    def _hold(self, reservation: Reservation) -> None:
        self._held.setdefault(reservation.ledger, {})[reservation.id] = reservation

    def _settle(self, reservation: Reservation, used: Usage) -> None:
        def answered(done: asyncio.Future[Any]) -> None:
            self._settling.discard(done)
            if done.cancelled() or done.exception() is not None:
                self._unsettled.append((reservation, used))
            else:
                self.when_settled(reservation.ledger.name)

        try:
            answer = reservation.ledger.settle(reservation.id, used)
        except StoreUnavailable:
            self._unsettled.append((reservation, used))
            return
        self._settling.add(answer)
        answer.add_done_callback(answered)

    def _settle_again(self) -> None:
        # A settlement that fails again is appended to the queue again.
        for _ in range(len(self._unsettled)):
            self._settle(*self._unsettled.popleft())

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            self._settle_again()
            self._renew()

    def _renew(self) -> None:
        """Renew all reservations of a key in one call."""
        for ledger, of_key in self._held.items():
            held = [(reservation.id, reservation.expected) for reservation in of_key.values()]
            try:
                # Not awaited: the next renewal makes up for a lost one.
                _ = ledger.renew(held)
            except StoreUnavailable:
                return


def _nobody_waits(_key: str) -> None:
    """Nothing to do."""
