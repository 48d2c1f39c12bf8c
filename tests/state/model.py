"""The limits as one would write them in Python: what the scripts must agree with."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, field

MINUTE = 60_000_000
DAY = 86_400_000_000


@dataclass
class Held:
    requests: int
    tokens: int
    money: int
    since: int
    period: str
    ends: int


def period_of(kind: str, now: int) -> tuple[str, int]:
    """By the standard library's calendar."""
    day = dt.datetime.fromtimestamp(now // 1_000_000, dt.UTC).date()
    epoch = dt.date(1970, 1, 1)
    if kind == "day":
        return f"day{(day - epoch).days}", ((day - epoch).days + 1) * DAY
    first = day.replace(day=1)
    following = (first + dt.timedelta(days=31)).replace(day=1)
    return f"month{(first - epoch).days}", (following - epoch).days * DAY


@dataclass
class Model:
    rpm: int
    tpm: int
    most: int
    budget: int
    kind: str
    lease: int
    at: int = 0
    requests: float = 0.0
    tokens: float = 0.0
    period: str = ""
    spent: int = 0
    money_held: int = 0
    held: dict[str, Held] = field(default_factory=dict)
    settled: dict[str, int] = field(default_factory=dict)
    """Until when each is remembered."""

    def _now(self, now: int) -> None:
        passed = max(0, now - self.at)
        self.at = now
        self.requests = max(0.0, self.requests - passed)
        self.tokens = max(0.0, self.tokens - passed)
        if self.kind and self.period != (period := period_of(self.kind, now)[0]):
            self.period, self.spent, self.money_held = period, 0, 0
        for id_ in [reservation for reservation, held in self.held.items() if held.ends <= now]:
            self._take(id_)

    def _take(self, id_: str) -> Held | None:
        held = self.held.pop(id_, None)
        if held is not None and held.period == self.period:
            self.money_held -= held.money
        return held

    def reserve(self, now: int, id_: str, tokens: int, money: int) -> str:
        """Returns which limit said no, or nothing."""
        self._now(now)
        if id_ in self.held or id_ in self.settled:
            return ""
        refused: list[tuple[float, str]] = []
        if self.most and len(self.held) >= self.most:
            refused.append((0, "max_streams"))
        if self.rpm and self.requests + MINUTE / self.rpm > MINUTE + 0.5:
            refused.append((self.requests + MINUTE / self.rpm - MINUTE, "requests_per_minute"))
        if self.tpm:
            asked = min(max(tokens, 1) * MINUTE / self.tpm, MINUTE)
            if self.tokens + asked > MINUTE + 0.5:
                refused.append((self.tokens + asked - MINUTE, "tokens_per_minute"))
        if self.budget:
            if self.spent >= self.budget:
                refused.append((period_of(self.kind, now)[1] - now, "budget_usd"))
            elif self.money_held and max(money, 1) > self.budget - self.spent - self.money_held:
                refused.append((1_000_000, "budget_usd"))
        if refused:
            return max(refused, key=lambda refusal: refusal[0])[1]
        self.requests += MINUTE / self.rpm if self.rpm else 0
        self.tokens += tokens * MINUTE / self.tpm if self.tpm else 0
        money = money if self.kind else 0
        self.money_held += money
        self.held[id_] = Held(1, tokens, money, now, self.period, now + self.lease)
        return ""

    def settle(self, now: int, id_: str, requests: int, tokens: int, money: int) -> int:
        """Returns 1, or 0 where it was settled before."""
        self.settled = {
            reservation: until for reservation, until in self.settled.items() if until > now
        }
        if id_ in self.settled:
            return 0
        self.settled[id_] = now + 10 * MINUTE
        self._now(now)
        held = self._take(id_) or Held(0, 0, 0, now, self.period, now)
        self.requests = self._charged(
            self.requests, self.rpm, requests - held.requests, now - held.since
        )
        self.tokens = self._charged(self.tokens, self.tpm, tokens - held.tokens, now - held.since)
        if self.kind and held.period == self.period:
            self.spent += money
        return 1

    def _charged(self, debt: float, limit: int, more: int, passed: int) -> float:
        if not limit:
            return debt
        cost = more * MINUTE / limit
        if cost < 0:
            cost = min(0.0, cost + passed)
        return min(max(0.0, debt + cost), DAY)

    def left(self) -> tuple[int | None, int | None]:
        def one(limit: int, debt: float) -> int | None:
            return max(0, math.floor((MINUTE - debt + 0.5) * limit / MINUTE)) if limit else None

        return one(self.rpm, self.requests), one(self.tpm, self.tokens)
