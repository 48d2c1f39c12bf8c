"""From a call to an answer: choose an upstream, attempt, and try again where that may help."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from proxy.errors import SluiceError, UpstreamRefused
from proxy.upstream import health, retry
from proxy.upstream.attempt import Attempt, Judge
from proxy.upstream.budget import Budget
from proxy.upstream.kept import KeptAnswer, keep
from proxy.upstream.lease import Lease
from proxy.upstream.pause import pause_asked
from proxy.upstream.pool import Pool
from proxy.upstream.probes import Probes
from proxy.upstream.retry import Failure, Situation
from proxy.upstream.targets import targets_of
from proxy.upstream.transport import Transport
from proxy.upstream.usage import Refusals

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from proxy.record import RequestRecord
    from proxy.settings import Settings
    from proxy.upstream.answer import Answer, LiveAnswer
    from proxy.upstream.call import Call
    from proxy.upstream.pool import Member, Observer

_LOOK_SECONDS = 0.2


class Upstreams:
    """All upstreams of one worker, behind one question: `answer`. A context to live in."""

    def __init__(self, settings: Settings, *, workers: int = 1, index: int = 0) -> None:
        """`workers` share the limits of the upstreams; this one is number `index`."""
        targets = targets_of(settings, workers=workers, index=index)
        ejection = health.Rules(
            settings.eject_after_failures, settings.eject_failure_rate, settings.eject_seconds
        )
        self._pool = Pool(targets, ejection, clock=time.monotonic, random=random.random)
        self._rules = retry.Rules(
            settings.retries, settings.retry_on_500, settings.retry_after_cap_seconds
        )
        self._budget = Budget()
        self._settings = settings
        self._usage_refusals = Refusals(time.monotonic)
        self.asks_for_usage = any(target.include_usage for target in targets)
        """Whether any upstream is asked for usage on the client's behalf."""
        self._transport: Transport
        self._probes: Probes

    async def __aenter__(self) -> Self:
        self._transport = Transport(
            self._settings.pool_connections,
            fast_path=self._settings.fast_path,
            connection_age=self._settings.upstream_connection_max_age_seconds,
        )
        interval = self._settings.probe_interval_seconds
        self._probes = Probes(self._pool, self._transport, interval)
        self._probes.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._probes.stop()
        await self._transport.close()

    def observe(self, observer: Observer) -> None:
        """Have retries, ejections and returns counted."""
        self._pool.observer = observer

    def connections(self) -> tuple[int, int]:
        """How many connections are open to upstreams: in use, and kept for the next call."""
        return self._transport.connections()

    def status(self) -> list[dict[str, object]]:
        """Each upstream's standing; see `Pool.status`."""
        return self._pool.status()

    def blame(self, upstream: str) -> None:
        """Hold it against an upstream that an answer, handed out as good, fell silent."""
        self._pool.tell(self._pool.member(upstream), health.Event.CUT)

    def praise(self, upstream: str) -> None:
        """Hold it to its credit that an answer came to its end."""
        self._pool.tell(self._pool.member(upstream), health.Event.ENDED)

    async def answer(
        self,
        call: Call,
        record: RequestRecord,
        *,
        enough: Callable[[bytes], bool] | None = None,
        judge: Callable[[bytes], SluiceError | None] | None = None,
    ) -> Answer:
        """The first answer that stands; whoever gets it closes it.

        With `enough` and `judge`, a good event stream is handed out with its first bytes read: as
        many as are `enough` to judge by. A failure found in them counts like a bad status.
        `record` is told of every attempt; once it has `committed_at` nothing is tried again, and
        the attempt under way is handed out unjudged.

        An upstream's own refusal is an answer as well, once no attempt is left. Raises the last
        attempt's error if no upstream answered, and `BadRequest`, `NotFound` and `Overloaded`.
        Cancelling it closes what is open.
        """
        self._budget.request()
        both = Judge(enough, judge) if enough and judge else None
        may_repeat = self._rules.retries > 0
        attempt = Attempt(self._transport, call, record, both, may_repeat, self._usage_refusals)
        tries: Counter[str] = Counter()
        refusal: KeptAnswer | None = None
        while True:
            member = self._pool.next_for(call.model, tries)
            tries[member.target.name] += 1
            with Lease(self._pool, member) as lease:
                answer, failure = await _outcome(attempt, member, lease)
                wait = self._verdict(failure, member, call, record, tries)
                if wait is None and answer is not None:
                    lease.hand_on(answer)
                    return answer
                if answer is not None:
                    refusal = await keep(answer) or refusal
            if wait is None or not await self._go_on(wait, call, record, tries):
                return _last_word(failure, refusal, record)
            self._pool.observer.retried(member.target.name, failure.reason)

    def _verdict(
        self,
        failure: Failure,
        member: Member,
        call: Call,
        record: RequestRecord,
        tries: Counter[str],
    ) -> float | None:
        if not retry.is_passing(failure, self._rules):
            return None  # Nearly always: what follows would only be thrown away.
        situation = Situation(
            attempts=tries.total(),
            sibling=self._pool.has_sibling(member, call.model, tries),
            in_budget=self._budget.may_retry(time.monotonic()),
            committed=record.committed_at is not None,
        )
        wait = retry.verdict(failure, situation, self._rules, random.random)
        if wait is not None:
            # Paid before the wait, or all who wait meanwhile would go by the same coin.
            self._budget.spend()
        return wait

    async def _go_on(
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


async def _outcome(
    attempt: Attempt, member: Member, lease: Lease
) -> tuple[LiveAnswer | None, Failure]:
    """Make the attempt and tell the upstream's health; an answer that stands fails at nothing."""
    try:
        answer = await attempt.make(member.target)
    except SluiceError as error:
        lease.failed(error)
        return None, Failure(error=error)
    pause = pause_asked(answer.headers, time.time()) if answer.status >= 400 else None
    lease.answered(answer.status, pause)
    return answer, Failure(answer.status, pause=pause)


def _last_word(failure: Failure, refusal: KeptAnswer | None, record: RequestRecord) -> KeptAnswer:
    """What the client gets after the last attempt: an upstream's own words rather than ours."""
    error = failure.error
    if refusal is not None and (error is None or error.fault.retry_safe):
        record.upstream = refusal.upstream
        record.upstream_status = refusal.status
        return refusal
    raise error or UpstreamRefused(f"Upstream {record.upstream} answered {failure.status}.")
