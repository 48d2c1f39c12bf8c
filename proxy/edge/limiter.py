"""Asks the store whether a key has anything left, before the upstream; settles afterwards."""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, Self

import structlog

from proxy import store_address
from proxy.edge.claim import Claim
from proxy.edge.estimates import Estimates, Expected
from proxy.edge.key_line import KeyLines
from proxy.edge.limit_headers import limit_headers
from proxy.edge.settlement import charge
from proxy.limit_errors import (
    BudgetHeld,
    BudgetSpent,
    LimitReached,
    LimitsUnavailable,
    RequestsLimited,
    StreamsLimited,
    TokensLimited,
)
from proxy.meter.tokens import Usage as TokenUsage
from proxy.record import Family
from proxy.state.errors import StoreUnavailable
from proxy.state.limits import Ledger, Limit, Limits, Usage
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
"""Seconds over which those come back that have waited in vain for a stream to end."""


class Watcher(Protocol):
    """Who counts what limits do."""

    def limited(self, key: str, limit: str) -> None:
        """A limit of the key said no."""

    def uncounted(self, key: str) -> None:
        """A request of the key was let in, or refused, without the store."""


class Price(Protocol):
    """What a request's usage costs."""

    def __call__(self, record: RequestRecord, usage: TokenUsage, model: str = "") -> float | None:
        """US dollars, None where it has no price; `model` is what the answer says it is of."""


class Limiter:
    """The limits of all keys, as one worker enforces them; a context to live in."""

    def __init__(
        self,
        settings: Settings,
        watcher: Watcher,
        observer: Observer,
        price: Price,
        *,
        queue_size: int,
    ) -> None:
        self.lines = KeyLines(queue_size)
        self.reservations = Reservations()
        self.reservations.when_settled = self.lines.one_ended
        self.store: Store | None = None
        self._open = settings.limits_without_store == "open"
        self._queue_timeout = settings.queue_timeout_seconds
        self._settings = settings
        self._watcher = watcher
        self._observer = observer
        self._price = price
        self._estimates = Estimates()
        self._ledgers: dict[str, Ledger] = {}
        self._parts = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if any(key.limited for key in self._settings.all_keys):
            await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._parts.aclose()

    async def apply(self, settings: Settings) -> None:
        """Enforce the limits of these settings from now on; what is reserved stays so."""
        self._settings = settings
        self._ledgers.clear()
        if any(key.limited for key in settings.all_keys):
            await self.connect()

    async def connect(self) -> None:
        """Have a store to ask, if one is configured and there is none yet.

        A store that is away is waited for a moment, so that the first requests are counted, too.
        """
        url = self._settings.store_url
        if self.store is not None:
            return
        if url is None or url.get_secret_value() == store_address.OFF:
            self._warn("there is none: set SLUICE_STORE_URL")
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
        """Reserve what the request is expected to take, waiting for one of the key's streams.

        Raises the limit that said no, and `LimitsUnavailable`.
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
        """Charge a request that has ended for what it used; nobody waits for it."""
        claim, record, tally = context.claim, context.record, context.tally
        if claim is None or claim.reservation is None:
            return
        found = charge(record, tally, claim.expected)
        usd = self._price(record, found.usage, tally.model) if found.tokens else None
        claim.reservation.settle(Usage(found.requests, found.tokens, usd or 0.0))
        claim.reservation = None
        if found.stated and claim.body_bytes:
            used = Expected(found.usage.input_total or 0, found.usage.output_total or 0)
            self._estimates.learn(record.model, claim.body_bytes, used, context.choices)

    async def figures(self, keys: Iterable[KeySettings]) -> dict[str, Figures]:
        """What each limited key has used and has left; without those the store says nothing of."""
        ledgers = [one for key in keys if key.limited and (one := self._ledger(key))]
        answers = await asyncio.gather(*(one.figures() for one in ledgers), return_exceptions=True)
        found: dict[str, Figures] = {}
        for ledger, answer in zip(ledgers, answers, strict=True):
            if not isinstance(answer, BaseException):
                found[ledger.name] = answer
            elif not isinstance(answer, StoreUnavailable):
                raise answer
        return found

    def status(self) -> dict[str, object] | None:
        """The store as this worker sees it; None where nothing needs one."""
        store = self.store
        if store is None and not any(key.limited for key in self._settings.all_keys):
            return None
        reached = store is not None and store.available
        return {
            "store": "reached" if reached else "away" if store else "none",
            "reason": store.breaker.reason if store else "SLUICE_STORE_URL names none",
            "limits_checked": reached,
            "waiting": self.lines.waiting,
            "held": self.reservations.held,
        }

    def _claim(self, context: RequestContext) -> Claim:
        call, record = context.call, context.record
        if call is None or record.family is Family.UNKNOWN or call.method != "POST":
            return Claim()
        size = len(call.body)
        expected = self._estimates.expected(record.model, size, context.max_output, context.choices)
        return Claim(expected=expected, body_bytes=size)

    def _ledger(self, key: KeySettings) -> Ledger | None:
        if self.store is None:
            return None
        known, limits = self._ledgers.get(key.name), Limits.of(key)
        if known is None or known.limits != limits:
            known = self._ledgers[key.name] = Ledger(self.store, key.name, limits)
        return known

    async def _reserve(self, ledger: Ledger, expected: Usage) -> tuple[Reservation | None, Verdict]:
        """As `Reservations.reserve`; where the key is at its `max_streams`, after a wait in line.

        Nothing here is cut short by a timer: a reservation that nobody holds would be left over.
        """
        until = asyncio.get_running_loop().time() + self._queue_timeout
        name = ledger.name
        if not self.lines.anybody(name):
            found = await self.reservations.reserve(ledger, expected)
            if found[1].limit is not Limit.STREAMS or self.lines.full:
                return found
        elif self.lines.full:
            return await self.reservations.reserve(ledger, expected)
        with self.lines.place(name) as place:
            while await place.turn(until):
                found = await self.reservations.reserve(ledger, expected)
                if found[1].limit is not Limit.STREAMS:
                    return found
        return await self.reservations.reserve(ledger, expected)

    def _without_store(
        self,
        context: RequestContext,
        claim: Claim,
        ledger: Ledger | None,
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
            f"This API key has too little left of its {limits.tokens_per_minute} tokens per "
            "minute.",
            retry_after=wait,
        )
    if verdict.limit is Limit.STREAMS:
        return StreamsLimited(
            f"This API key has {limits.max_streams} requests running, as many as it may at once.",
            retry_after=1.0 + random.uniform(0, _SPREAD),  # noqa: S311 no secret
        )
    if verdict.figures.spent_usd < limits.budget_usd:
        return BudgetHeld(
            "What is left of this API key's budget is reserved by requests that still run.",
            retry_after=wait,
        )
    ends = datetime.now(UTC) + timedelta(seconds=math.ceil(verdict.figures.period_ends_in))
    return BudgetSpent(
        f"This API key has spent its budget of {limits.budget_usd:g} USD for the "
        f"{limits.budget_period}, which ends at {ends:%Y-%m-%dT%H:%M:%SZ}.",
        retry_after=wait,
    )
