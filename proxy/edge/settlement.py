"""What a request that has ended is charged for, decided from how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.meter.tokens import Tally, Usage
from proxy.record import EndedBy, Family

if TYPE_CHECKING:
    from proxy.edge.estimates import Expected
    from proxy.record import RequestRecord


@dataclass(frozen=True, slots=True)
class Charge:
    """Requests and tokens to charge; the money follows from the tokens' price."""

    requests: int
    usage: Usage
    stated: bool = False
    """Whether the usage is the upstream's own and final: then estimates can learn from it."""

    @property
    def tokens(self) -> int:
        """Input and output together."""
        return (self.usage.input_total or 0) + (self.usage.output_total or 0)


NOTHING = Charge(0, Usage())


def charge(record: RequestRecord, tally: Tally, expected: Expected) -> Charge:
    """What to charge.

    By usage; by the larger of what was counted and estimated where usage is missing or partial; by
    what came where the client left; by nothing where no upstream got the request. An upstream's
    refusal costs the request and no tokens but those that it states.
    """
    if not record.reached_upstream:
        return NOTHING
    if record.connected_at is None or _was_refused(record, tally):
        return Charge(1, tally.usage or Usage())
    if _is_final(record, tally):
        assert tally.usage is not None
        return Charge(1, tally.usage, stated=True)
    if record.family is Family.UNKNOWN:
        # A file, a list, an answer in words unknown: what it takes is not to be told.
        return Charge(1, tally.usage or Usage(output=tally.counted))
    usage = tally.usage or Usage()
    came = max(tally.counted, usage.output_total or 0)
    left = record.client_left_at is not None
    return Charge(
        1,
        Usage(
            input=max(usage.input_total or 0, 0 if usage.input_total else expected.input),
            output=came if left else max(came, expected.output),
        ),
    )


def _was_refused(record: RequestRecord, tally: Tally) -> bool:
    status = record.upstream_status
    if status is not None and not 200 <= status < 300:
        return True
    # An error in place of the answer: nothing has been made.
    return record.ended_by is EndedBy.ERROR_EVENT and not tally.counted


def _is_final(record: RequestRecord, tally: Tally) -> bool:
    """Whether what the upstream states is all that there will be.

    A stream that was cut may have stated its input and the first token of its output.
    """
    usage = tally.usage
    if usage is None or usage.input_total is None or usage.output_total is None:
        return False
    if record.ended_by is EndedBy.COMPLETE:
        return True
    return tally.finishing and usage.output_total >= tally.counted
