"""Counts an attempt in flight at an upstream, and reports its outcome once, on every exit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from proxy.upstream.health import HealthEvent

if TYPE_CHECKING:
    from types import TracebackType

    from proxy.errors import SluiceError
    from proxy.upstream.pool import Member, Pool
    from proxy.upstream.response import StreamingResponse

_LIMITED = frozenset({429, 503, 529})


class AttemptInFlight:
    """A context manager for one attempt; a response that is handed over stays in flight."""

    __slots__ = ("_handed_over", "_member", "_open", "_pool", "_reported")

    def __init__(self, pool: Pool, member: Member) -> None:
        self._pool = pool
        self._member = member
        self._open = False
        self._reported = False
        self._handed_over = False

    def __enter__(self) -> Self:
        self._pool.report(self._member, HealthEvent.CALLED)
        self._open = True
        self._member.in_flight += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._handed_over:
            self._release()

    def report_error(self, error: SluiceError) -> None:
        """Report a failed attempt; an error that is not the upstream's does not count."""
        if error.fault.blames_upstream:
            self._report(HealthEvent.FAILED, error.fault.code)
        else:
            self._report(HealthEvent.ABANDONED)

    def report_status(self, status: int, retry_after: float | None) -> None:
        """Report the response's status, and its `Retry-After` in seconds."""
        if status >= 500 and status != 501:
            self._report(HealthEvent.FAILED, f"answered {status}")
        else:
            self._report(HealthEvent.SUCCEEDED)
        # If clients send their own keys, a 429 concerns one client only.
        limits_all = status != 429 or bool(self._member.target.api_key)
        if retry_after and status in _LIMITED and limits_all:
            self._pool.cool_down(self._member, retry_after)

    def hand_over(self, response: StreamingResponse) -> None:
        """Stay in flight until the response's end; a later cut counts against the upstream."""
        self._handed_over = True
        response.when_ended(self._ended)

    def _ended(self, error: SluiceError | None) -> None:
        # The observer may fail, for want of a file descriptor; release in any case.
        try:
            if error is not None and error.fault.blames_upstream:
                self._pool.report(self._member, HealthEvent.CUT, error.fault.code)
        finally:
            self._release()

    def _report(self, event: HealthEvent, failure: str = "") -> None:
        if not self._reported:
            self._reported = True
            self._pool.report(self._member, event, failure)

    def _release(self) -> None:
        if self._open:
            self._open = False
            self._member.in_flight -= 1
            self._report(HealthEvent.ABANDONED)
