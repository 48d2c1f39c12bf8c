"""Which choices of an answer have begun and which have ended."""

from __future__ import annotations

_MOST = 128
"""More choices than any API allows; an upstream that numbers on shares the last place."""


class Choices:
    """The choices of one answer, as bits by their index."""

    __slots__ = ("_asked", "_begun", "_ended")

    def __init__(self, asked: int = 1) -> None:
        self._asked = asked
        self._begun = 0
        self._ended = 0

    def begin(self, index: int | None) -> None:
        """A choice has shown itself."""
        self._begun |= _place(index)

    def end(self, index: int | None) -> None:
        """A choice has had its finish reason."""
        self._ended |= _place(index)

    @property
    def all_ended(self) -> bool:
        """Whether every choice that was asked for, and every one that began, has ended."""
        expected = max(self._asked, self._begun.bit_count())
        return self._ended.bit_count() >= expected and not self._begun & ~self._ended


def _place(index: int | None) -> int:
    return 1 << min(max(index or 0, 0), _MOST - 1)
