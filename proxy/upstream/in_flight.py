"""One attempt's hold on an upstream: counted meanwhile, reported once, released on every exit."""

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
    """A context for one attempt; an answer that is handed out takes the hold along."""

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
        """The attempt came to nothing by an error; one that is not the upstream's says nothing."""
        if error.fault.blames_upstream:
            self._report(HealthEvent.FAILED, error.fault.code)
        else:
            self._report(HealthEvent.ABANDONED)

    def report_status(self, status: int, retry_after: float | None) -> None:
        """The upstream answered.

        `retry_after` is for how many seconds it asked to be left alone.
        """
        if status >= 500 and status != 501:
            self._report(HealthEvent.FAILED, f"answered {status}")
        else:
            self._report(HealthEvent.SUCCEEDED)
        # With keys passed through, one client's limit is not the next one's.
        limits_all = status != 429 or bool(self._member.target.api_key)
        if retry_after and status in _LIMITED and limits_all:
            self._pool.cool_down(self._member, retry_after)

    def hand_over(self, response: StreamingResponse) -> None:
        """Hold until the answer's end; one that is cut later counts against the upstream."""
        self._handed_over = True
        response.when_ended(self._ended)

    def _ended(self, error: SluiceError | None) -> None:
        # Who counts may want a file, and there may be none to have; the hold ends all the same.
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
