"""One attempt's hold on an upstream: counted while it lasts, judged once, let go on every exit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from proxy.upstream.health import Event

if TYPE_CHECKING:
    from types import TracebackType

    from proxy.errors import SluiceError
    from proxy.upstream.answer import LiveAnswer
    from proxy.upstream.pool import Member, Pool

_LIMITED = frozenset({429, 503, 529})


class Lease:
    """A context for one attempt; an answer that is handed out takes the hold along."""

    __slots__ = ("_handed_on", "_judged", "_member", "_open", "_pool")

    def __init__(self, pool: Pool, member: Member) -> None:
        self._pool = pool
        self._member = member
        self._open = False
        self._judged = False
        self._handed_on = False

    def __enter__(self) -> Self:
        self._pool.tell(self._member, Event.CALLED)
        self._open = True
        self._member.in_flight += 1
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._handed_on:
            self._release()

    def failed(self, error: SluiceError) -> None:
        """The attempt came to nothing by an error; one that is not the upstream's says nothing."""
        self._judge(Event.FAILED if error.fault.blames_upstream else Event.ABANDONED)

    def answered(self, status: int, pause: float | None) -> None:
        """The upstream answered; `pause` is for how many seconds it asked to be left alone."""
        self._judge(Event.FAILED if status >= 500 and status != 501 else Event.SUCCEEDED)
        # With keys passed through, one client's limit is not the next one's.
        limits_all = status != 429 or bool(self._member.target.api_key)
        if pause and status in _LIMITED and limits_all:
            self._pool.bench(self._member, pause)

    def hand_on(self, answer: LiveAnswer) -> None:
        """Hold until the answer's end; one that is cut later counts against the upstream."""
        self._handed_on = True
        answer.when_ended(self._ended)

    def _ended(self, error: SluiceError | None) -> None:
        # Who counts may want a file, and there may be none to have; the hold ends all the same.
        try:
            if error is not None and error.fault.blames_upstream:
                self._pool.tell(self._member, Event.CUT)
        finally:
            self._release()

    def _judge(self, event: Event) -> None:
        if not self._judged:
            self._judged = True
            self._pool.tell(self._member, event)

    def _release(self) -> None:
        if self._open:
            self._open = False
            self._member.in_flight -= 1
            self._judge(Event.ABANDONED)
