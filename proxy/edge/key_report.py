"""Reports what each key has used and has left, in `/status` and, periodically, in the gauges."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from proxy.edge.limiter import Limiter
    from proxy.key_settings import KeySettings
    from proxy.meter.key_metrics import KeyMetrics
    from proxy.state.limits import Figures

_INTERVAL_SECONDS = 2.0


class KeyReport:
    """Reads the usage of limited keys from the store; only the first worker does so."""

    def __init__(
        self, limiter: Limiter, keys: tuple[KeySettings, ...], metrics: KeyMetrics
    ) -> None:
        self._limiter = limiter
        self._metrics = metrics
        self._reporting: asyncio.Task[None] | None = None
        self.keys = keys

    async def __aenter__(self) -> Self:
        self.apply(self.keys)
        return self

    def apply(self, keys: tuple[KeySettings, ...]) -> None:
        """Report on these keys from now on."""
        self.keys = keys
        for key in keys:
            if limits := limits_report(key, None):
                self._metrics.know(key.name, limits)
        if self._reporting is None and any(key.limited for key in keys):
            self._reporting = asyncio.create_task(self._report_forever())

    async def __aexit__(self, *_: object) -> None:
        if self._reporting is not None:
            self._reporting.cancel()
            await asyncio.gather(self._reporting, return_exceptions=True)

    async def now(self) -> dict[str, dict[str, Any]]:
        """Return, by key name, each limit with its use and what is left."""
        figures = await self._limiter.figures(self.keys)
        return {key.name: limits_report(key, figures.get(key.name)) for key in self.keys}

    async def _report_forever(self) -> None:
        while True:
            for name, limits in (await self.now()).items():
                for limit, known in limits.items():
                    if known["left"] is None:
                        continue
                    if limit == "budget_usd":
                        self._metrics.budget(name, known["limit"], known["left"])
                    else:
                        self._metrics.left(name, limit, known["left"])
            await asyncio.sleep(_INTERVAL_SECONDS)


def limits_report(key: KeySettings, figures: Figures | None) -> dict[str, Any]:
    """Build a key's report: limit, used and left; None where the store is unavailable."""
    report: dict[str, Any] = {}
    tokens, requests = key.tokens_per_minute, key.requests_per_minute
    if requests is not None:
        report["requests_per_minute"] = _limit_report(
            requests, None if figures is None else figures.requests_left
        )
    if tokens is not None:
        report["tokens_per_minute"] = _limit_report(
            tokens, None if figures is None else figures.tokens_left
        )
    if key.max_streams is not None:
        left = None if figures is None else max(0, key.max_streams - figures.streams)
        report["max_streams"] = _limit_report(key.max_streams, left)
    if key.budget_usd is not None:
        spent = None if figures is None else round(figures.spent_usd, 9)
        money = None if spent is None else max(0.0, key.budget_usd - spent)
        report["budget_usd"] = _limit_report(key.budget_usd, money) | {
            # More than the budget, where the last requests used more than they had reserved.
            "used": spent,
            "period": key.budget_period,
            "ends_in_seconds": None if figures is None else round(figures.period_ends_in),
        }
    return report


def _limit_report(limit: float, left: float | None) -> dict[str, Any]:
    used = None if left is None else round(limit - left, 9)
    return {"limit": limit, "used": used, "left": left if left is None else round(left, 9)}
