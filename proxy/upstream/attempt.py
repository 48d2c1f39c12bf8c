"""One attempt at one upstream: sent, timed, and its first event checked."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import FirstTokenTimeout, SluiceError, UpstreamInvalid
from proxy.upstream.headers import upstream_request_id
from proxy.upstream.transport import StaleConnection
from proxy.upstream.usage import refuses

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.record import RequestRecord
    from proxy.upstream.call import Call
    from proxy.upstream.response import StreamingResponse
    from proxy.upstream.targets import Target
    from proxy.upstream.transport import Transport
    from proxy.upstream.usage import Refusals

MAX_CHECKED_BYTES = 256 * 1024
"""Of a stream's beginning: one whose first event is longer goes on unjudged."""
_STALE_CONNECTIONS = 3
_IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class FirstEventCheck:
    """What the caller makes of the first bytes of an event stream."""

    is_decidable: Callable[[bytes], bool]
    """Whether they suffice to decide."""
    find_error: Callable[[bytes], SluiceError | None]
    """The failure that a good status only hid; None if it is a good beginning."""
    may_hold: Callable[[int], bool]
    """Whether so many bytes more of an undecided beginning may be held; if so, they count."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What all attempts at one call share."""

    transport: Transport
    call: Call
    record: RequestRecord
    first_event: FirstEventCheck | None
    may_repeat: bool
    """Whether the operator lets a request be sent twice, should the first have been in vain."""
    refusals: Refusals
    """Which upstreams are not to be asked for usage on the client's behalf."""

    async def make(self, target: Target) -> StreamingResponse:
        """The upstream's answer, with its first bytes read if there is a check for them.

        Raises what `Transport.send` raises, `FirstTokenTimeout` once the upstream has been silent
        for its time after the request was sent, `UpstreamCut`, `UpstreamInvalid` for an event
        stream without one event, and the check's own errors.
        """
        _begin(self.record, target.name)
        loop = asyncio.get_running_loop()
        waiting = True

        def sent() -> None:
            self.record.connected_at = time.monotonic()
            # The upstream may answer, and the wait be over, before it has taken the whole request.
            if waiting and target.first_token_timeout:
                clock.reschedule(loop.time() + target.first_token_timeout)

        try:
            async with asyncio.timeout(None) as clock:
                try:
                    return await self._answer(target, sent)
                finally:
                    waiting = False
        except TimeoutError:
            if not clock.expired():
                raise
        limit = target.first_token_timeout
        raise FirstTokenTimeout(f"Upstream {target.name} was silent for {limit:g} s.")

    async def _answer(self, target: Target, sent: Callable[[], None]) -> StreamingResponse:
        call = self.call
        if call.added_usage is not None:
            self.record.hides_usage = self.refusals.may_ask(target, call.model)
            if self.record.hides_usage:
                return await self._answer_with_usage(target, sent)
        return await self._begun(await self._send(call.without_added_usage(), target, sent))

    async def _answer_with_usage(
        self, target: Target, sent: Callable[[], None]
    ) -> StreamingResponse:
        """The answer; where only what was added is refused, the answer without it."""
        response = await self._begun(await self._send(self.call, target, sent))
        try:
            refused = await refuses(response)
        except BaseException:
            response.close()
            raise
        if not refused:
            return response
        response.close()
        self.refusals.remember(target, self.call.model)
        self.record.hides_usage = False
        self.record.connected_at = None
        plain = self.call.without_added_usage()
        return await self._begun(await self._send(plain, target, sent))

    async def _begun(self, response: StreamingResponse) -> StreamingResponse:
        """The answer with what there is to judge it by; closed on every error."""
        try:
            record = self.record
            record.headers_at = time.monotonic()
            record.connected_at = record.connected_at or record.headers_at
            record.upstream_status = response.status
            record.upstream_request_id = upstream_request_id(response.headers)
            if not response.is_event_stream:
                response.take_first()
            elif self.first_event and 200 <= response.status < 300:
                await self._read_first(response, self.first_event)
        except BaseException:
            response.close()
            raise
        return response

    async def _send(
        self, call: Call, target: Target, sent: Callable[[], None]
    ) -> StreamingResponse:
        """Send it; where old connections turn out to be closed, on the next one.

        RFC 9112, 9.3.1: such a request may be repeated if that does no harm. Nobody is to blame,
        so it is neither counted as an attempt nor against the upstream.
        """
        may_repeat = self.may_repeat or call.method in _IDEMPOTENT_METHODS
        for _ in range(_STALE_CONNECTIONS if may_repeat else 0):
            try:
                return await self.transport.send(call, target, sent)
            except StaleConnection:
                self.record.connected_at = None
        return await self.transport.send(call, target, sent)

    async def _read_first(self, response: StreamingResponse, check: FirstEventCheck) -> None:
        first = b""
        while True:
            part = await response.read()
            if not part:
                raise UpstreamInvalid(
                    f"Upstream {response.upstream} ended its stream before any event."
                )
            if not first:
                self.record.first_byte_at = time.monotonic()
            first += part
            if self.record.committed_at is not None or len(first) > MAX_CHECKED_BYTES:
                break
            if check.is_decidable(first):
                if error := check.find_error(first):
                    raise error
                break
            if not check.may_hold(len(part)):
                # Rather unjudged than held without end: many may begin like this at once.
                break
        response.first = first


def _begin(record: RequestRecord, upstream: str) -> None:
    """Forget the attempt before; only when the first one began is kept."""
    record.attempts += 1
    record.upstream = upstream
    record.upstream_status = None
    record.upstream_request_id = ""
    record.called_at = record.called_at or time.monotonic()
    record.sent_before = record.reached_upstream
    record.connected_at = record.headers_at = record.first_byte_at = None
