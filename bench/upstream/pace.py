"""How an answer is paced, and where a request may say so."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Tokens per second, number of tokens, and seconds before the first one."""

    rate: float
    tokens: int
    ttft: float

    def __str__(self) -> str:
        return f"{self.rate:g}-{self.tokens}-{self.ttft:g}"

    @property
    def model(self) -> str:
        """A model name that says this pace."""
        return f"paced-{self}"

    @property
    def seconds(self) -> float:
        """From the request to the last token."""
        return self.ttft + (self.tokens - 1) / self.rate


def read_pace(text: str) -> Pace | None:
    """`RATE-TOKENS-TTFT`, with or without `paced-` before it; None if it is something else."""
    parts = text.removeprefix("paced-").split("-")
    if len(parts) != 3:
        return None
    try:
        pace = Pace(float(parts[0]), int(parts[1]), float(parts[2]))
    except ValueError:
        return None
    return pace if pace.rate > 0 and pace.tokens > 0 and pace.ttft >= 0 else None


def choose_pace(candidates: list[str], default: Pace) -> Pace:
    """The first of the places where a request said its pace; the default if none did."""
    return next(filter(None, map(read_pace, candidates)), default)
