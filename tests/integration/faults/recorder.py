"""Sends a request and records its outcome as the client, the gateway and the upstream see it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from proxy.demo.recorded_calls import RecordedCall
from proxy.edge.request_context import RequestContext
from proxy.record import RequestRecord
from tests.integration.conftest import Demo, Worker, until
from tests.integration.faults.asking import Asking
from tests.integration.faults.events import Event, events_of
from tests.integration.raw import BrokenOff, Fields, Line, Whole


async def read_answer(url: str, data: bytes) -> tuple[Whole, bool]:
    """Read a response as far as it comes; return it and whether it ended cleanly."""
    async with await Line.open(url) as line:
        head = await line.ask(data)
        while head.status < 200:
            head = await line.head()
        parts: list[bytes] = []
        try:
            while part := await line.part():
                parts.append(part)
        except (BrokenOff, ValueError):  # ValueError: a chunk's size is malformed.
            return Whole(head, b"".join(parts)), False
        return Whole(head, b"".join(parts)), True


async def for_each(askings: Iterable[Asking], check: Callable[[Asking], Awaitable[None]]) -> None:
    """Check the families concurrently; a failure names its family."""

    async def checked(asking: Asking) -> None:
        try:
            await check(asking)
        except BaseException as error:
            error.add_note(f"The family is {asking.family}.")
            raise

    await asyncio.gather(*map(checked, askings))


@dataclass(frozen=True)
class RecordedRequest:
    """One request as the client, the gateway and the upstream saw it."""

    answer: Whole
    clean: bool
    seconds: float
    context: RequestContext
    calls: list[RecordedCall]

    @property
    def record(self) -> RequestRecord:
        """The gateway's record of it."""
        return self.context.record

    @property
    def outcome(self) -> tuple[int, str, str]:
        """Status, `ended_by` and the error's code."""
        return self.record.status, str(self.record.ended_by), self.record.error

    @property
    def events(self) -> list[Event]:
        """The events that an SSE client dispatches."""
        return events_of(self.answer.body)

    def error(self, asking: Asking) -> dict[str, Any]:
        """Return the terminal error, after checking that it is in the family's format."""
        *before, last = self.events
        return asking.check_terminal_error(last, before)


@dataclass
class Recorder:
    """The demo upstream, and the context of every request that the gateways have ended."""

    demo: Demo
    contexts: list[RequestContext] = field(default_factory=list)

    async def ask(
        self, front: Worker, asking: Asking, words: str = "", more: Fields | None = None
    ) -> RecordedRequest:
        """Request a stream and read it to its end."""
        run = uuid.uuid4().hex
        began = time.monotonic()
        answer, clean = await read_answer(front.url, asking.request(words, run, more))
        seconds = time.monotonic() - began
        return RecordedRequest(
            answer, clean, seconds, await self.context(run), await self.calls(run)
        )

    async def context(self, run: str) -> RequestContext:
        """Wait until the gateway has ended a request; return its context."""
        contexts: list[RequestContext] = []

        def ended() -> bool:
            contexts[:] = [
                candidate for candidate in self.contexts if candidate.record.request_id == run
            ]
            return bool(contexts)

        await until(ended, "the request has not ended")
        return contexts[0]

    async def calls(self, run: str) -> list[RecordedCall]:
        """Wait until the upstream's calls of a request have ended; return them."""

        def mine() -> list[RecordedCall]:
            return [call for call in self.demo.state.calls if call.run == run]

        await until(
            lambda: all(call.ended_by for call in mine()), "a call to the upstream has not ended"
        )
        return mine()

    async def healthy(self, asking: Asking, words: str = "") -> bytes:
        """Return the body that the upstream sends without a gateway."""
        return (await read_answer(self.demo.url, asking.request(words)))[0].body
