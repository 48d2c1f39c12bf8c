"""From a call to an answer: choose an upstream, attempt, and try again where that may help."""

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
from proxy.upstream.buffered_response import BufferedResponse, buffer_response
from proxy.upstream.headers import upstream_request_id
from proxy.upstream.health_checks import HealthChecks
from proxy.upstream.in_flight import AttemptInFlight
from proxy.upstream.pool import Pool
from proxy.upstream.retry import Failure, RetryBudget, RetryContext, parse_retry_after
from proxy.upstream.targets import targets_of
from proxy.upstream.transport import Transport
from proxy.upstream.trust import TrustStores
from proxy.upstream.usage import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from proxy.record import RequestRecord
    from proxy.settings import Settings
    from proxy.upstream.call import Call
    from proxy.upstream.pool import Member, Observer
    from proxy.upstream.response import StreamingResponse, UpstreamResponse
    from proxy.upstream.targets import Target

_LOOK_SECONDS = 0.2


class Upstreams:
    """All upstreams of one worker, behind one question: `request`. A context to live in."""

    def __init__(self, settings: Settings, *, workers: int = 1, index: int = 0) -> None:
        """`workers` share the limits of the upstreams; this one is number `index`."""
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
        self._usage_refusals = Refusals(time.monotonic)
        self.asks_for_usage = any(target.include_usage for target in targets)
        """Whether any upstream is asked for usage on the client's behalf."""
        self.renames = any(target.rename for target in targets)
        """Whether any upstream has names of its own for models."""
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
        """What these settings name; nothing changes yet. It reads the files of private CAs.

        Raises `ValueError` if that is nothing, or such a file is none.
        """
        return targets_of(settings, self._trust, workers=self._workers, index=self.index)

    def replace(self, targets: tuple[Target, ...]) -> None:
        """Ask these from now on; what runs goes on where it is."""
        self._pool.replace(targets)
        self.asks_for_usage = any(target.include_usage for target in targets)
        self.renames = any(target.rename for target in targets)

    async def probe_anew(self) -> None:
        """Probe those that are asked by now, and no others."""
        await self._health_checks.stop()
        self._health_checks.start()

    def observe(self, observer: Observer) -> None:
        """Have retries, ejections and returns counted."""
        self._pool.observer = observer

    def connections(self) -> tuple[int, int]:
        """How many connections are open to upstreams: in use, and kept for the next call."""
        return self._transport.connections()

    def status(self) -> list[dict[str, object]]:
        """Each upstream's standing; see `Pool.status`."""
        return self._pool.status()

    def report_failure(self, upstream: str) -> None:
        """Hold it against an upstream that an answer, handed out as good, fell silent."""
        # One that a reload took away is asked no more.
        if (member := self._pool.find(upstream)) is not None:
            self._pool.report(member, health.HealthEvent.CUT, "upstream_cut")

    def report_success(self, upstream: str) -> None:
        """Hold it to its credit that an answer came to its end."""
        if (member := self._pool.find(upstream)) is not None:
            self._pool.report(member, health.HealthEvent.ENDED)

    async def request(
        self,
        call: Call,
        record: RequestRecord,
        *,
        is_decidable: Callable[[bytes], bool] | None = None,
        find_error: Callable[[bytes], SluiceError | None] | None = None,
        may_hold: Callable[[int], bool] = lambda _: True,
    ) -> UpstreamResponse:
        """The first answer that stands; whoever gets it closes it.

        With `is_decidable` and `find_error`, a good event stream is handed out with its first bytes
        read: as many as are needed to decide, and `may_hold` allows. A failure found in them counts
        like a bad status.
        `record` is told of every attempt; once it has `committed_at` nothing is tried again, and
        the attempt under way is handed out unjudged.

        An upstream's own refusal is an answer as well, once no attempt is left. Raises the last
        attempt's error if no upstream answered, and `BadRequest`, `NotFound` and `Overloaded`.
        Cancelling it closes what is open.
        """
        self._retry_budget.deposit()
        first_event = (
            FirstEventCheck(is_decidable, find_error, may_hold)
            if is_decidable and find_error
            else None
        )
        may_repeat = self._retry_policy.retries > 0
        attempt = Attempt(
            self._transport, call, record, first_event, may_repeat, self._usage_refusals
        )
        tries: Counter[str] = Counter()
        refusal: BufferedResponse | None = None
        while True:
            member = self._pool.next_for(call.model, tries, call.upstream)
            tries[member.target.name] += 1
            with AttemptInFlight(self._pool, member) as in_flight:
                response, failure = await _attempted(attempt, member, in_flight)
                wait = self._retry_delay(failure, member, call, record, tries)
                if wait is None and response is not None:
                    in_flight.hand_over(response)
                    return response
                if response is not None:
                    refusal = await buffer_response(response) or refusal
            if wait is None or not await self._wait_to_retry(wait, call, record, tries):
                return _final_response(failure, refusal, record)
            self._pool.observer.retried(member.target.name, failure.reason)

    def _retry_delay(
        self,
        failure: Failure,
        member: Member,
        call: Call,
        record: RequestRecord,
        tries: Counter[str],
    ) -> float | None:
        if not retry.is_transient(failure, self._retry_policy):
            return None  # Nearly always: what follows would only be thrown away.
        situation = RetryContext(
            attempts=tries.total(),
            sibling=self._pool.has_sibling(member, call.model, tries),
            in_budget=self._retry_budget.may_retry(time.monotonic()),
            committed=record.committed_at is not None,
        )
        wait = retry.retry_delay(failure, situation, self._retry_policy, random.random)
        if wait is not None:
            # Withdraw before sleeping, or concurrent requests pass on the same token.
            self._retry_budget.withdraw()
        return wait

    async def _wait_to_retry(
        self, wait: float, call: Call, record: RequestRecord, tries: Counter[str]
    ) -> bool:
        """Wait; whether another attempt can be made after that."""
        until = time.monotonic() + wait
        while record.committed_at is None:
            left = until - time.monotonic()
            if left <= 0:
                return self._pool.has_room(call.model, tries)
            await asyncio.sleep(min(left, _LOOK_SECONDS))
        return False


async def _attempted(
    attempt: Attempt, member: Member, in_flight: AttemptInFlight
) -> tuple[StreamingResponse | None, Failure]:
    """Make the attempt and tell the upstream's health; an answer that stands fails at nothing."""
    began = time.monotonic()
    try:
        response = await attempt.make(member.target)
    except SluiceError as error:
        _note(attempt.record, began, error.fault.code)
        in_flight.report_error(error)
        return None, Failure(error=error)
    except asyncio.CancelledError:
        _note(attempt.record, began, "cancelled")
        raise
    _note(attempt.record, began)
    retry_after = (
        parse_retry_after(response.headers, time.time()) if response.status >= 400 else None
    )
    in_flight.report_status(response.status, retry_after)
    return response, Failure(response.status, retry_after=retry_after)


def _note(record: RequestRecord, began: float, error: str = "") -> None:
    """Write down what became of the attempt that is over."""
    took = time.monotonic() - began
    status, named = record.upstream_status, record.upstream_request_id
    record.tries.append(UpstreamTry(record.upstream, took, status, error, named))


def _final_response(
    failure: Failure, refusal: BufferedResponse | None, record: RequestRecord
) -> BufferedResponse:
    """What the client gets after the last attempt: an upstream's own words rather than ours."""
    error = failure.error
    if refusal is not None and (error is None or error.fault.retry_safe):
        record.upstream = refusal.upstream
        record.upstream_status = refusal.status
        record.upstream_request_id = upstream_request_id(refusal.headers)
        return refusal
    raise error or UpstreamRefused(f"Upstream {record.upstream} answered {failure.status}.")
