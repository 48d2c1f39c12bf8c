"""Decides what an ended request is charged, from how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.meter.tally import Tally, Usage
from proxy.record import EndedBy, Family

if TYPE_CHECKING:
    from proxy.edge.token_estimates import Expected
    from proxy.record import RequestRecord


@dataclass(frozen=True, slots=True)
class Charge:
    """Requests and tokens to charge; the cost follows from the tokens' price."""

    requests: int
    usage: Usage
    stated: bool = False
    """Whether the usage is the upstream's final one, from which estimates can learn."""

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return (self.usage.input_total or 0) + (self.usage.output_total or 0)


NOTHING = Charge(0, Usage())


def charge(record: RequestRecord, tally: Tally, expected: Expected) -> Charge:
    """Return what to charge.

    The stated usage, if it is final. If it is missing or partial: the larger of counted and
    estimated tokens or, if the client left, what was received. Nothing if no upstream got the
    request. An upstream's refusal costs the request, and only the tokens that it states.
    """
    if not record.reached_upstream:
        return NOTHING
    if record.connected_at is None or _was_refused(record, tally):
        return Charge(1, tally.usage or Usage())
    if _is_final(record, tally):
        assert tally.usage is not None
        return Charge(1, tally.usage, stated=True)
    if record.family is Family.UNKNOWN:
        # A file, a list, an unknown format: its tokens cannot be estimated.
        return Charge(1, tally.usage or Usage(output=tally.counted))
    usage = tally.usage or Usage()
    received = max(tally.counted, usage.output_total or 0)
    client_left = record.client_left_at is not None
    return Charge(
        1,
        Usage(
            input=max(usage.input_total or 0, 0 if usage.input_total else expected.input),
            output=received if client_left else max(received, expected.output),
        ),
    )


def _was_refused(record: RequestRecord, tally: Tally) -> bool:
    status = record.upstream_status
    if status is not None and not 200 <= status < 300:
        return True
    # An error instead of an answer: nothing was generated.
    return record.ended_by is EndedBy.ERROR_EVENT and not tally.counted


def _is_final(record: RequestRecord, tally: Tally) -> bool:
    """Whether the stated usage is final.

    A truncated stream may have stated its input and the first token of its output only.
    """
    usage = tally.usage
    if usage is None or usage.input_total is None or usage.output_total is None:
        return False
    if record.ended_by is EndedBy.COMPLETE:
        return True
    return tally.finishing and usage.output_total >= tally.counted
