"""The plan of one answer: its speed, its length and its faults."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.demo.grammar_values import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One answer's settings (times in seconds, sizes in tokens) and its faults by name.

    `grammar_settings.SETTINGS` says what each setting means. The bare `Plan()` answers as fast as
    it can, for tests; `REALISTIC` is for people.
    """

    ttft: float = 0.0
    opening: float | None = None
    rate: float = 0.0
    jitter: float = 0.0
    tokens: int = 32
    per_event: int = 1
    reasoning: int = 0
    tools: int = 0
    prompt: int | None = None
    cached: int = 0
    stamp: bool = False
    seed: str = ""
    key: str = ""
    run: str = ""
    fail: int = 0
    hang_for: float = math.inf
    retry_after: float | None = None
    drip_pause: float | None = None
    headers: tuple[str, ...] = ()
    faults: Mapping[str, Value] = field(default_factory=dict)

    def has(self, *names: str) -> bool:
        """Return whether any of the named faults is on."""
        return any(name in self.faults for name in names)

    def count(self, name: str) -> int:
        """Return the fault's argument, a whole number; 0 if the fault is off."""
        return int(self.faults.get(name, 0))

    def seconds(self, name: str) -> float:
        """Return the fault's time in seconds; 0.0 if the fault is off."""
        return float(self.faults.get(name, 0.0))

    def healthy(self) -> Plan:
        """Return the plan without its faults."""
        return replace(self, faults={})

    def failing(self, **faults: Value) -> Plan:
        """Return the plan with further faults; underscores in names stand for dashes."""
        named = {name.replace("_", "-"): value for name, value in faults.items()}
        return replace(self, faults={**self.faults, **named})


# As fast as a real model.
REALISTIC = Plan(ttft=0.25, rate=40.0, tokens=120)
