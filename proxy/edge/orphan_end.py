"""Builds the end of an orphaned log: its producer died, or the store refused further writes."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from proxy.edge.stream_errors import LogLost, ProducerLost
from proxy.record import Family
from proxy.relay.terminal_event import terminal_event
from proxy.state.log_entry import End

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.errors import SluiceError
    from proxy.state.log_entry import Entry

_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')
_RESPONSE_ID = re.compile(rb'"response"\s*:\s*\{\s*"id"\s*:\s*"([^"]{1,200})"')


def orphan_end(
    header: Mapping[str, str],
    last: Entry,
    producer_alive: bool,  # noqa: FBT001 the signature is `MakeEnd`'s
) -> tuple[bytes, End]:
    """Return the terminal event for the readers of an orphaned log, and the log's end."""
    error: SluiceError = ProducerLost("The worker that relayed this stream is gone.")
    if producer_alive:
        error = LogLost("The store did not take what came after this.")
    fault = error.fault
    figures = {"elapsed_seconds": _age(header)}
    end = End(str(fault.ended_by), fault.code, figures=figures, events=last.id.event + 1)
    return terminal_event_after(header, error, last.data), end


def terminal_event_after(header: Mapping[str, str], error: SluiceError, seen: bytes) -> bytes:
    """Return the terminal event of the log's family, to follow `seen`, the last events."""
    last = _LastSeen(seen, header.get("response_id"))
    request_id = header.get("request_id", "")
    return terminal_event(family_of(header), error, request_id, last)  # type: ignore[arg-type]


def family_of(header: Mapping[str, str]) -> Family:
    """Return the family of a log's events."""
    try:
        return Family(header.get("family", ""))
    except ValueError:
        return Family.UNKNOWN


class _LastSeen:
    """What a terminal event needs to know of the stream, read from its last events."""

    family = Family.UNKNOWN
    first_token_at = None
    finishing = False

    def __init__(self, data: bytes, response_id: str | None) -> None:
        numbers = _SEQUENCE.findall(data)
        ids = _RESPONSE_ID.findall(data)
        self.sequence = int(numbers[-1]) if numbers else None
        self.response_id = response_id or (ids[-1].decode("utf-8", "replace") if ids else None)


def _age(header: Mapping[str, str]) -> float:
    try:
        return round(max(0.0, time.time() - float(header.get("created", ""))), 3)
    except ValueError:
        return 0.0
