"""Splits an event into several chunks, in different ways."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.demo.plan import Plan

# The first byte of a multi-byte character in UTF-8 is 0xC2 or above (RFC 3629, section 4).
_FIRST_LEADING_BYTE = 0xC2


def cutter_for(plan: Plan) -> Callable[[bytes], list[bytes]] | None:
    """Return the plan's way to split; None to leave events whole."""
    if plan.has("drip"):
        size = plan.count("drip")
        return lambda data: in_runs(data, size)
    if plan.has("split-utf8"):
        return inside_characters
    if plan.has("split"):
        return in_halves
    return None


def in_runs(data: bytes, size: int) -> list[bytes]:
    """Split into pieces of `size` bytes."""
    return [data[start : start + size] for start in range(0, len(data), size)]


def in_halves(data: bytes) -> list[bytes]:
    """Split in the middle."""
    middle = len(data) // 2
    return [data[:middle], data[middle:]]


def after_leading_byte(data: bytes) -> int | None:
    """Return the offset inside the first multi-byte character; None if there is none."""
    return next(
        (offset for offset, byte in enumerate(data, 1) if byte >= _FIRST_LEADING_BYTE), None
    )


def inside_characters(data: bytes) -> list[bytes]:
    """Split inside every multi-byte character."""
    pieces: list[bytes] = []
    while (place := after_leading_byte(data)) is not None:
        pieces.append(data[:place])
        data = data[place:]
    return [*pieces, data]
