"""Enforces key limits: reserves in the store before an upstream call, settles after it."""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, Self

import structlog

from proxy import store_address
from proxy.edge.limit_claim import LimitClaim
from proxy.edge.limit_headers import limit_headers
from proxy.edge.settlement import charge
from proxy.edge.stream_limit_queue import StreamLimitQueues
from proxy.edge.token_estimates import Estimates, Expected
from proxy.limit_errors import (
    BudgetHeld,
    BudgetSpent,
    LimitReached,
    LimitsUnavailable,
    RequestsLimited,
    StreamsLimited,
    TokensLimited,
)
from proxy.meter.tally import Usage as TokenUsage
from proxy.record import Family
from proxy.state.error_map import StoreUnavailable
from proxy.state.limits import KeyLedger, Limit, Limits, Usage
from proxy.state.load_backend import load_backend
from proxy.state.reservations import Reservation, Reservations
from proxy.state.store import LANES, Observer, Store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.edge.request_context import RequestContext
    from proxy.key_settings import KeySettings
    from proxy.record import RequestRecord
    from proxy.settings import Settings
    from proxy.state.limits import Figures, Verdict

_log = structlog.get_logger("limits")

_FIRST_CONNECTION_SECONDS = 3.0
_LONGEST_RETRY_AFTER = 3600.0
_SPREAD = 3.0
"""The retries of requests refused by `max_streams` are spread over so many seconds."""


class Watcher(Protocol):
    """Receives what the limits' metrics count."""

    def limited(self, key: str, limit: str) -> None:
        """A limit of the key was exceeded."""

    def uncounted(self, key: str) -> None:
        """A request of the key was admitted or refused without the store."""


class Price(Protocol):
    """Computes what a request's usage costs."""

    def __call__(self, record: RequestRecord, usage: TokenUsage, model: str = "") -> float | None:
        """Return US dollars, or None without a price; `model` is the one the answer names."""


class Limiter:
    """Enforces the limits of all keys in one worker; an async context manager."""

    def __init__(
        self,
        settings: Settings,
        watcher: Watcher,
        observer: Observer,
        price: Price,
        *,
        queue_size: int,
    ) -> None:
        self.stream_queues = StreamLimitQueues(queue_size)
        self.reservations = Reservations()
        self.reservations.when_settled = self.stream_queues.stream_ended
        self.store: Store | None = None
        self._open = settings.limits_without_store == "open"
        self._queue_timeout = settings.queue_timeout_seconds
        self._settings = settings
        self._watcher = watcher
        self._observer = observer
        self._price = price
        self._estimates = Estimates()
        self._ledgers: dict[str, KeyLedger] = {}
        self._parts = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if any(key.limited for key in self._settings.all_keys):
            await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._parts.aclose()

    async def apply(self, settings: Settings) -> None:
        """Enforce the limits of these settings from now on; reservations stay as they are."""
        self._settings = settings
        self._ledgers.clear()
        if any(key.limited for key in settings.all_keys):
            await self.connect()

    async def connect(self) -> None:
        """Connect to the store if one is configured and not connected yet.

        Wait a few seconds for an unavailable store, so that the first requests are counted.
        """
        url = self._settings.store_url
        if self.store is not None:
            return
        if url is None or url.get_secret_value() == store_address.OFF:
            self._warn("no store is configured: set SLUICE_STORE_URL")
            return
        backend = await load_backend(store_address.parse(url.get_secret_value()), LANES)
        store = Store(backend, self._settings.store_timeout_seconds, self._observer)
        await self._parts.enter_async_context(store)
        await self._parts.enter_async_context(self.reservations)
        self.store = store
        if not await store.ready(_FIRST_CONNECTION_SECONDS):
            self._warn(store.breaker.reason)

    def _warn(self, reason: str) -> None:
        self._observer.state(available=False)
        _log.warning(
            "limits_without_store",
            reason=reason,
            keys_with_limits="let in uncounted" if self._open else "refused",
        )

    async def admit(self, context: RequestContext) -> None:
        """Reserve what the request is expected to use, queueing while the key is at `max_streams`.

        Raises the error of the limit that is exceeded, and `LimitsUnavailable`.
        """
        key, record = context.key, context.record
        assert key is not None
        claim = context.claim = self._claim(context)
        usage = TokenUsage(input=claim.expected.input, output=claim.expected.output)
        usd = self._price(record, usage) if key.budget_usd and claim.expected.tokens else None
        expected = Usage(1, claim.expected.tokens, usd or 0.0)
        ledger = self._ledger(key)
        if ledger is None:
            self._without_store(context, claim, None, expected, "none")
            return
        try:
            claim.reservation, verdict = await self._reserve(ledger, expected)
        except StoreUnavailable as error:
            self._without_store(context, claim, ledger, expected, error.reason)
            return
        anthropic = record.family is Family.MESSAGES or _speaks_anthropic(context)
        claim.headers = limit_headers(Limits.of(key), verdict.figures, anthropic=anthropic)
        if verdict.limit is not None:
            self._watcher.limited(key.name, verdict.limit)
            raise _refusal(verdict, Limits.of(key))

    def settle(self, context: RequestContext) -> None:
        """Charge an ended request for what it used, in the background."""
        claim, record, tally = context.claim, context.record, context.tally
        if claim is None or claim.reservation is None:
            return
        charged = charge(record, tally, claim.expected)
        usd = self._price(record, charged.usage, tally.model) if charged.tokens else None
        claim.reservation.settle(Usage(charged.requests, charged.tokens, usd or 0.0))
        claim.reservation = None
        if charged.stated and claim.body_bytes:
            used = Expected(charged.usage.input_total or 0, charged.usage.output_total or 0)
            self._estimates.learn(record.model, claim.body_bytes, used, context.choices)

    async def figures(self, keys: Iterable[KeySettings]) -> dict[str, Figures]:
        """Read what each limited key has used and has left; keys without an answer are omitted."""
        ledgers = [ledger for key in keys if key.limited and (ledger := self._ledger(key))]
        answers = await asyncio.gather(
            *(ledger.figures() for ledger in ledgers), return_exceptions=True
        )
        figures_by_key: dict[str, Figures] = {}
        for ledger, answer in zip(ledgers, answers, strict=True):
            if not isinstance(answer, BaseException):
                figures_by_key[ledger.name] = answer
            elif not isinstance(answer, StoreUnavailable):
                raise answer
        return figures_by_key

    def status(self) -> dict[str, object] | None:
        """Report the store's state in this worker; None if no key needs one."""
        store = self.store
        if store is None and not any(key.limited for key in self._settings.all_keys):
            return None
        reached = store is not None and store.available
        return {
            "store": "reached" if reached else "away" if store else "none",
            "reason": store.breaker.reason if store else "SLUICE_STORE_URL names none",
            "limits_checked": reached,
            "waiting": self.stream_queues.waiting,
            "held": self.reservations.held,
        }

    def _claim(self, context: RequestContext) -> LimitClaim:
        call, record = context.call, context.record
        if call is None or record.family is Family.UNKNOWN or record.method != "POST":
            return LimitClaim()
        size = len(call.body)
        expected = self._estimates.expected(record.model, size, context.max_output, context.choices)
        return LimitClaim(expected=expected, body_bytes=size)

    def _ledger(self, key: KeySettings) -> KeyLedger | None:
        if self.store is None:
            return None
        known, limits = self._ledgers.get(key.name), Limits.of(key)
        if known is None or known.limits != limits:
            known = self._ledgers[key.name] = KeyLedger(self.store, key.name, limits)
        return known

    async def _reserve(
        self, ledger: KeyLedger, expected: Usage
    ) -> tuple[Reservation | None, Verdict]:
        """Do as `Reservations.reserve`, but queue while the key is at its `max_streams`.

        No timer cancels a call to the store: it could leave a reservation that nobody holds.
        """
        until = asyncio.get_running_loop().time() + self._queue_timeout
        name = ledger.name
        if not self.stream_queues.has_waiters(name):
            reserved = await self.reservations.reserve(ledger, expected)
            if reserved[1].limit is not Limit.STREAMS or self.stream_queues.full:
                return reserved
        elif self.stream_queues.full:
            return await self.reservations.reserve(ledger, expected)
        with self.stream_queues.place(name) as place:
            while await place.wait_turn(until):
                reserved = await self.reservations.reserve(ledger, expected)
                if reserved[1].limit is not Limit.STREAMS:
                    return reserved
        return await self.reservations.reserve(ledger, expected)

    def _without_store(
        self,
        context: RequestContext,
        claim: LimitClaim,
        ledger: KeyLedger | None,
        expected: Usage,
        reason: str,
    ) -> None:
        self._watcher.uncounted(context.record.client_key)
        context.record.notes["limits"] = f"not checked: store {reason}"
        if not self._open:
            raise LimitsUnavailable("The limits of this API key cannot be checked.")
        if ledger is not None:
            claim.reservation = self.reservations.uncounted(ledger, expected)


def _speaks_anthropic(context: RequestContext) -> bool:
    return "anthropic-version" in context.request.headers


def _refusal(verdict: Verdict, limits: Limits) -> LimitReached:
    wait = min(max(verdict.wait, 1.0), _LONGEST_RETRY_AFTER)
    if verdict.limit is Limit.REQUESTS:
        return RequestsLimited(
            f"This API key has used its {limits.requests_per_minute} requests per minute.",
            retry_after=wait,
        )
    if verdict.limit is Limit.TOKENS:
        return TokensLimited(
            f"This API key has too few left of its {limits.tokens_per_minute} tokens per minute.",
            retry_after=wait,
        )
    if verdict.limit is Limit.STREAMS:
        return StreamsLimited(
            f"This API key has {limits.max_streams} requests running, its maximum.",
            retry_after=1.0 + random.uniform(0, _SPREAD),  # noqa: S311 no secret
        )
    if verdict.figures.spent_usd < limits.budget_usd:
        return BudgetHeld(
            "What is left of this API key's budget is reserved by requests in flight.",
            retry_after=wait,
        )
    ends = datetime.now(UTC) + timedelta(seconds=math.ceil(verdict.figures.period_ends_in))
    return BudgetSpent(
        f"This API key has spent its budget of {limits.budget_usd:g} USD for the "
        f"{limits.budget_period}, which ends at {ends:%Y-%m-%dT%H:%M:%SZ}.",
        retry_after=wait,
    )
