"""How many retries the traffic can bear: a fifth of it, so that they never make a storm."""

from __future__ import annotations

SHARE = 0.2
"""Retries per request."""
FLOOR = 10.0
"""Retries that need no traffic to have earned them, so that the first requests have some too."""
FLOOR_SECONDS = 60.0
"""In which an empty purse fills up to the floor, where there is hardly any traffic."""
MOST = 100.0


class Budget:
    """A purse: each request pays a little in, each retry takes one whole coin out."""

    __slots__ = ("_at", "_coins")

    def __init__(self) -> None:
        self._coins = FLOOR
        self._at = 0.0

    def request(self) -> None:
        """One more request came."""
        self._coins = min(MOST, self._coins + SHARE)

    def may_retry(self, now: float) -> bool:
        """Whether there is a coin; `now` is seconds of a monotonic clock."""
        if self._coins < FLOOR:
            earned = (now - self._at) * FLOOR / FLOOR_SECONDS
            self._coins = min(FLOOR, self._coins + earned)
        self._at = now
        return self._coins >= 1.0

    def spend(self) -> None:
        """A retry goes out."""
        self._coins -= 1.0
