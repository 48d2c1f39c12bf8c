"""One attempt at one upstream: sends the call, times it, and checks the first event."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proxy.errors import FirstTokenTimeout, SluiceError, UpstreamInvalid
from proxy.upstream.headers import upstream_request_id
from proxy.upstream.stream_options_refusals import refuses
from proxy.upstream.transport import StaleConnection

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.record import RequestRecord
    from proxy.upstream.call import Call
    from proxy.upstream.response import StreamingResponse
    from proxy.upstream.stream_options_refusals import StreamOptionsRefusals
    from proxy.upstream.targets import Target
    from proxy.upstream.transport import Transport

MAX_CHECKED_BYTES = 256 * 1024
"""The limit for checking a stream's first event; a longer one is relayed unchecked."""
_STALE_CONNECTIONS = 3
_IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True)
class FirstEventCheck:
    """The caller's check of the first bytes of an event stream."""

    is_decidable: Callable[[bytes], bool]
    """Whether the bytes suffice to decide."""
    find_error: Callable[[bytes], SluiceError | None]
    """Returns the error in the first event; None if there is none."""
    may_hold: Callable[[int], bool]
    """Reserves memory for so many more undecided bytes; False if there is none."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The parameters that all attempts at one call share."""

    transport: Transport
    call: Call
    first_event: FirstEventCheck | None
    may_repeat: bool
    """Whether the settings allow a request to be sent again."""
    refusals: StreamOptionsRefusals
    """The upstreams that refuse requests for usage."""

    async def make(self, target: Target) -> StreamingResponse:
        """Send the call; return the response, with its first bytes read if they are checked.

        Raises what `Transport.send` raises, `FirstTokenTimeout` if the upstream is silent for too
        long after the request was sent, `UpstreamCut`, `UpstreamInvalid` for an event stream
        without events, and the check's own errors.
        """
        record = self.call.record
        _begin(record, target.name)
        loop = asyncio.get_running_loop()
        waiting = True

        def sent() -> None:
            record.connected_at = time.monotonic()
            # The upstream may answer before it has received the whole request.
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
        raise FirstTokenTimeout(f"Upstream {target.name} sent nothing for {limit:g} s.")

    async def _answer(self, target: Target, sent: Callable[[], None]) -> StreamingResponse:
        call, record = self.call, self.call.record
        if call.added_usage is not None:
            record.hides_usage = self.refusals.may_ask(target, record.model)
            if record.hides_usage:
                return await self._answer_with_usage(target, sent)
        return await self._begun(await self._send(call.without_added_usage(), target, sent))

    async def _answer_with_usage(
        self, target: Target, sent: Callable[[], None]
    ) -> StreamingResponse:
        """Send the call with the request for usage; if that is refused, send it without."""
        call, record = self.call, self.call.record
        response = await self._begun(await self._send(call, target, sent))
        try:
            refused = await refuses(response)
        except BaseException:
            response.close()
            raise
        if not refused:
            return response
        response.close()
        self.refusals.remember(target, record.model)
        record.hides_usage = False
        record.connected_at = None
        plain = call.without_added_usage()
        return await self._begun(await self._send(plain, target, sent))

    async def _begun(self, response: StreamingResponse) -> StreamingResponse:
        """Note the response's head and check its first event; close it on every error."""
        try:
            record = self.call.record
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
        """Send the call; if a pooled connection turns out to be closed, use the next one.

        RFC 9112, 9.3.1 allows that for idempotent requests. It is nobody's fault, so it counts
        neither as an attempt nor against the upstream.
        """
        record = call.record
        may_repeat = self.may_repeat or record.method in _IDEMPOTENT_METHODS
        for _ in range(_STALE_CONNECTIONS if may_repeat else 0):
            try:
                return await self.transport.send(call, target, sent)
            except StaleConnection:
                record.connected_at = None
        return await self.transport.send(call, target, sent)

    async def _read_first(self, response: StreamingResponse, check: FirstEventCheck) -> None:
        record, first = self.call.record, b""
        while True:
            part = await response.read()
            if not part:
                raise UpstreamInvalid(
                    f"Upstream {response.upstream} ended its stream before the first event."
                )
            if not first:
                record.first_byte_at = time.monotonic()
            first += part
            if record.committed_at is not None or len(first) > MAX_CHECKED_BYTES:
                break
            if check.is_decidable(first):
                if error := check.find_error(first):
                    raise error
                break
            if not check.may_hold(len(part)):
                # Relay it unchecked instead of buffering more: many streams may begin like this.
                break
        response.first = first


def _begin(record: RequestRecord, upstream: str) -> None:
    """Reset the record for a new attempt; the start of the first one is kept."""
    record.attempts += 1
    record.upstream = upstream
    record.upstream_status = None
    record.upstream_request_id = ""
    record.called_at = record.called_at or time.monotonic()
    record.sent_before = record.reached_upstream
    record.connected_at = record.headers_at = record.first_byte_at = None
