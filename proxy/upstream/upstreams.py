"""Sends a call to an upstream: selects one, attempts, and retries."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from proxy.errors import SluiceError, UpstreamRefused
from proxy.record import UpstreamTry
from proxy.upstream import health, retry
from proxy.upstream.attempt import Attempt, FirstEventCheck
from proxy.upstream.attempt_in_flight import AttemptInFlight
from proxy.upstream.buffered_response import BufferedResponse, buffer_response
from proxy.upstream.headers import upstream_request_id
from proxy.upstream.health_checks import HealthChecks
from proxy.upstream.pool import Pool
from proxy.upstream.retry import Failure, RetryBudget, RetryContext, parse_retry_after
from proxy.upstream.stream_options_refusals import StreamOptionsRefusals
from proxy.upstream.targets import targets_of
from proxy.upstream.tls_trust import TrustStores
from proxy.upstream.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from proxy.record import RequestRecord
    from proxy.settings import Settings
    from proxy.upstream.call import Call
    from proxy.upstream.pool import Member, Observer
    from proxy.upstream.response import StreamingResponse, UpstreamResponse
    from proxy.upstream.targets import Target

_POLL_SECONDS = 0.2


class Upstreams:
    """All upstreams of one worker; an async context manager."""

    def __init__(self, settings: Settings, *, workers: int = 1, index: int = 0) -> None:
        """Take the number of `workers`, which share the upstreams' limits, and this one's index."""
        self._workers, self.index = workers, index
        self._trust = TrustStores()
        targets = self.targets_from(settings)
        ejection = health.EjectionPolicy(
            settings.eject_after_failures, settings.eject_failure_rate, settings.eject_seconds
        )
        self._pool = Pool(targets, ejection, clock=time.monotonic, random=random.random)
        self._retry_policy = retry.RetryPolicy(
            settings.retries, settings.retry_on_500, settings.retry_after_cap_seconds
        )
        self._retry_budget = RetryBudget()
        self._settings = settings
        self._refusals = StreamOptionsRefusals(time.monotonic)
        self.asks_for_usage = any(target.include_usage for target in targets)
        """Whether Sluice requests usage on its own behalf from any upstream."""
        self.renames = any(target.rename for target in targets)
        """Whether any upstream renames models."""
        self._transport: Transport
        self._health_checks: HealthChecks

    async def __aenter__(self) -> Self:
        self._transport = Transport(
            self._settings.pool_connections,
            fast_path=self._settings.fast_path,
            connection_age=self._settings.upstream_connection_max_age_seconds,
        )
        interval = self._settings.probe_interval_seconds
        self._health_checks = HealthChecks(self._pool, self._transport, interval)
        self._health_checks.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._health_checks.stop()
        await self._transport.close()

    def targets_from(self, settings: Settings) -> tuple[Target, ...]:
        """Build the upstreams of these settings, without using them yet. It reads CA files.

        Raises `ValueError` if there is none, or a CA file is invalid.
        """
        return targets_of(settings, self._trust, workers=self._workers, index=self.index)

    def replace(self, targets: tuple[Target, ...]) -> None:
        """Use these upstreams from now on; running requests are unaffected."""
        self._pool.replace(targets)
        self.asks_for_usage = any(target.include_usage for target in targets)
        self.renames = any(target.rename for target in targets)

    async def probe_anew(self) -> None:
        """Restart the health checks for the current upstreams."""
        await self._health_checks.stop()
        self._health_checks.start()

    def observe(self, observer: Observer) -> None:
        """Set the observer of retries, ejections and returns."""
        self._pool.observer = observer

    def connections(self) -> tuple[int, int]:
        """Return the numbers of connections to upstreams: in use and idle."""
        return self._transport.connections()

    def status(self) -> list[dict[str, object]]:
        """Return each upstream's state; see `Pool.status`."""
        return self._pool.status()

    def report_failure(self, upstream: str) -> None:
        """Report that a response, returned as a success, failed later."""
        # A reload may have removed the upstream.
        if (member := self._pool.find(upstream)) is not None:
            self._pool.report(member, health.HealthEvent.CUT, "upstream_cut")

    def report_success(self, upstream: str) -> None:
        """Report that a response ended completely."""
        if (member := self._pool.find(upstream)) is not None:
            self._pool.report(member, health.HealthEvent.ENDED)

    async def request(
        self,
        call: Call,
        *,
        is_decidable: Callable[[bytes], bool] | None = None,
        find_error: Callable[[bytes], SluiceError | None] | None = None,
        may_hold: Callable[[int], bool] = lambda _: True,
    ) -> UpstreamResponse:
        """Return the first response that is not retried; the caller closes it.

        With `is_decidable` and `find_error`, the first bytes of an event stream are read: as many
        as are needed to decide, and `may_hold` allows. An error in them counts as a bad status.
        Every attempt is noted in the call's record; when that has `committed_at`, there are no more
        retries, and the current attempt is returned unchecked.

        An upstream's error response is returned if no attempt is left. Raises the last attempt's
        error if no upstream answered, and `BadRequest`, `NotFound` and `Overloaded`. Cancellation
        closes all connections.
        """
        self._retry_budget.deposit()
        first_event = (
            FirstEventCheck(is_decidable, find_error, may_hold)
            if is_decidable and find_error
            else None
        )
        may_repeat = self._retry_policy.retries > 0
        attempt = Attempt(self._transport, call, first_event, may_repeat, self._refusals)
        record = call.record
        tries: Counter[str] = Counter()
        refusal: BufferedResponse | None = None
        while True:
            member = self._pool.next_for(record.model, tries, call.upstream)
            tries[member.target.name] += 1
            with AttemptInFlight(self._pool, member) as in_flight:
                response, failure = await _attempted(attempt, member, in_flight)
                wait = self._retry_delay(failure, member, record, tries)
                if wait is None and response is not None:
                    in_flight.hand_over(response)
                    return response
                if response is not None:
                    refusal = await buffer_response(response) or refusal
            if wait is None or not await self._wait_to_retry(wait, record, tries):
                return _final_response(failure, refusal, record)
            self._pool.observer.retried(member.target.name, failure.reason)

    def _retry_delay(
        self,
        failure: Failure,
        member: Member,
        record: RequestRecord,
        tries: Counter[str],
    ) -> float | None:
        if not retry.is_transient(failure, self._retry_policy):
            return None  # The common case.
        situation = RetryContext(
            attempts=tries.total(),
            sibling=self._pool.has_sibling(member, record.model, tries),
            in_budget=self._retry_budget.may_retry(time.monotonic()),
            committed=record.committed_at is not None,
        )
        wait = retry.retry_delay(failure, situation, self._retry_policy, random.random)
        if wait is not None:
            # Withdraw before sleeping, or concurrent requests pass on the same token.
            self._retry_budget.withdraw()
        return wait

    async def _wait_to_retry(self, wait: float, record: RequestRecord, tries: Counter[str]) -> bool:
        """Wait. Return whether another attempt can be made."""
        until = time.monotonic() + wait
        while record.committed_at is None:
            left = until - time.monotonic()
            if left <= 0:
                return self._pool.has_room(record.model, tries)
            await asyncio.sleep(min(left, _POLL_SECONDS))
        return False


async def _attempted(
    attempt: Attempt, member: Member, in_flight: AttemptInFlight
) -> tuple[StreamingResponse | None, Failure]:
    """Make an attempt, and report its outcome. Return the response, if any, and its failure."""
    record, began = attempt.call.record, time.monotonic()
    try:
        response = await attempt.make(member.target)
    except SluiceError as error:
        _note(record, began, error.fault.code)
        in_flight.report_error(error)
        return None, Failure(error=error)
    except asyncio.CancelledError:
        _note(record, began, "cancelled")
        raise
    _note(record, began)
    retry_after = (
        parse_retry_after(response.headers, time.time()) if response.status >= 400 else None
    )
    in_flight.report_status(response.status, retry_after)
    return response, Failure(response.status, retry_after=retry_after)


def _note(record: RequestRecord, began: float, error: str = "") -> None:
    """Note an attempt that is over in the record."""
    seconds = time.monotonic() - began
    status, request_id = record.upstream_status, record.upstream_request_id
    record.tries.append(UpstreamTry(record.upstream, seconds, status, error, request_id))


def _final_response(
    failure: Failure, refusal: BufferedResponse | None, record: RequestRecord
) -> BufferedResponse:
    """Return the response after the last attempt: preferably an upstream's own error."""
    error = failure.error
    if refusal is not None and (error is None or error.fault.retry_safe):
        record.upstream = refusal.upstream
        record.upstream_status = refusal.status
        record.upstream_request_id = upstream_request_id(refusal.headers)
        return refusal
    raise error or UpstreamRefused(f"Upstream {record.upstream} answered {failure.status}.")
