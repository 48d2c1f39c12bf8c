"""Opens a visit's account and closes it once, on every exit: figures, metrics, one log line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from multidict import CIMultiDict

from proxy.edge.admission import Admission
from proxy.edge.visit import Visit
from proxy.exchange import Exchange
from proxy.meter import reader
from proxy.settings import Settings
from proxy.upstream.attempts import Upstreams


class Accounts:
    """What is counted and written down of every request in one worker."""

    def __init__(
        self, settings: Settings, admission: Admission, upstreams: Upstreams, *, index: int
    ) -> None:
        self._settings = settings

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        return

    @contextmanager
    def visit(self, visit: Visit) -> Iterator[None]:
        """Count the visit while it lasts, and record it when it has ended, however it did."""
        try:
            yield
        finally:
            visit.ended()
            e = visit.exchange
            print(
                e.request_id,
                e.route,
                e.status,
                e.ended_by,
                e.error,
                visit.tally.counted,
                e.bytes_out,
                flush=True,
            )

    def reader(self, visit: Visit) -> reader.StreamReader:
        """A reader for the visit's stream; what it counts is the visit's tally."""
        one = reader.reader_for(visit.exchange.family, visit.choices)
        visit.tally = one.tally
        return one

    def read_body(self, visit: Visit, body: bytes) -> None:
        """Meter an answer that was not streamed."""
        visit.tally = reader.read_body(visit.exchange.family, body)

    def traced(self, headers: CIMultiDict[str], exchange: Exchange) -> CIMultiDict[str]:
        return headers

    def server_timing(self, exchange: Exchange) -> str:
        return f"queue;dur={exchange.queue_seconds * 1000:.1f}"

    def trailing_figures(self, visit: Visit) -> bytes:
        return b": sluice\n\n"
