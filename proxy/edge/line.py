"""The line before the slots: whose turn is next and who makes room, decided without any waiting.

Fair between keys, as max-min fairness has it (Bertsekas and Gallager, Data Networks, 6.5.2): the
next free slot goes to the key that holds the fewest, and where the line is full, the key that waits
most makes room for one that waits less. A higher priority goes before all that. Every step takes
O(log n) for n keys in line.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Hashable
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)
Rank = tuple[int, ...]


class Ranking:
    """Keys by rank, the lowest first; of equal ones that which has been there longest.

    A heap whose outdated entries are passed over, and swept out once they are the most.
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Rank, int, str]] = {}
        self._heap: list[tuple[Rank, int, str]] = []
        self._order = count()

    def put(self, key: str, rank: Rank) -> None:
        """Give the key this rank; if it has it already, it keeps its place."""
        known = self._entries.get(key)
        if known is not None and known[0] == rank:
            return
        entry = self._entries[key] = (rank, next(self._order), key)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def is_before(self, key: str, other: str) -> bool:
        """Whether of two keys that have a rank this one comes first."""
        return self._entries[key] < self._entries[other]

    def drop(self, key: str) -> None:
        """The key has no rank any more."""
        self._entries.pop(key, None)

    def first(self) -> str | None:
        """The key with the lowest rank; None if there is none."""
        while self._heap and self._entries.get(self._heap[0][2]) is not self._heap[0]:
            heapq.heappop(self._heap)
        return self._heap[0][2] if self._heap else None


class Lengths:
    """How many keys have at least so many in line, summed up to any length (Fenwick's tree)."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._sums: Counter[int] = Counter()

    def change(self, length: int, by: int) -> None:
        """One key more (or less) has at least this length, which is 1 or more."""
        while length <= self._longest:
            self._sums[length] += by
            length += length & -length

    def up_to(self, length: int) -> int:
        """The sum over all keys of their lengths, none taken for more than this one."""
        length, total = min(length, self._longest), 0
        while length:
            total += self._sums[length]
            length &= length - 1
        return total


class Line(Generic[T]):
    """Who holds slots and who waits for one, by key. A turn is whatever the caller waits with."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.waiting = 0
        self._held: Counter[str] = Counter()
        self._turns: dict[str, OrderedDict[T, None]] = {}
        self._fewest_held = Ranking()
        self._most_waiting = Ranking()
        self._lengths: dict[int, Lengths] = {}
        """Of each priority's keys."""
        self._priorities: dict[str, int] = {}
        """Of the keys in line, where it is not 0."""

    @property
    def full(self) -> bool:
        """Whether a newcomer finds no place."""
        return self.waiting >= self.size

    def took(self, key: str) -> None:
        """The key holds a slot more."""
        self._held[key] += 1
        self._rank(key)

    def gave_back(self, key: str) -> None:
        """The key holds a slot less."""
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
        self._rank(key)

    def join(self, key: str, turn: T, priority: int = 0) -> None:
        """The last of its key waits with this turn. The line must not be full.

        All of a key in line have the same priority; the highest is served first.
        """
        if key not in self._turns and priority:
            self._priorities[key] = priority
        turns = self._turns.setdefault(key, OrderedDict())
        turns[turn] = None
        self.waiting += 1
        self._lengths_of(self._priority(key)).change(len(turns), 1)
        self._rank(key)

    def leave(self, key: str, turn: T) -> bool:
        """This turn waits no longer; whether it did."""
        turns = self._turns.get(key)
        if turns is None or turn not in turns:
            return False
        self._lengths_of(self._priority(key)).change(len(turns), -1)
        del turns[turn]
        self.waiting -= 1
        if not turns:
            del self._turns[key]
            self._priorities.pop(key, None)
        self._rank(key)
        return True

    def next(self) -> tuple[str, T] | None:
        """Who has the next free slot, and leaves the line with it; None if nobody waits."""
        key = self._fewest_held.first()
        if key is None:
            return None
        turn = next(iter(self._turns[key]))
        self.leave(key, turn)
        self.took(key)
        return key, turn

    def make_room(self, newcomer: str, priority: int = 0) -> tuple[str, T] | None:
        """Who leaves a full line for a newcomer of this key; None if nobody has to.

        It is the last of the key that waits most, of those with the lowest priority. Were the two
        then merely to have changed places, the one that holds more makes room: else they would send
        each other away for ever.
        """
        key = self._most_waiting.first()
        if key is None or key == newcomer:
            return None
        if priority < self._priority(key):
            return None
        waits, own = len(self._turns[key]), len(self._turns.get(newcomer, ())) + 1
        greedier = own > waits or (own == waits and self._held[newcomer] >= self._held[key])
        if greedier and priority == self._priority(key):
            return None
        turn = next(reversed(self._turns[key]))
        self.leave(key, turn)
        return key, turn

    def everybody(self) -> list[T]:
        """All who wait; nobody does afterwards."""
        turns = [(key, turn) for key, line in self._turns.items() for turn in line]
        for key, turn in turns:
            self.leave(key, turn)
        return [turn for _, turn in turns]

    def place(self, key: str, priority: int = 0) -> int:
        """Which turn a newcomer of this key would have, if slots went round the keys."""
        own = len(self._turns.get(key, ())) + 1
        before = sum(
            lengths.up_to(self.size) for other, lengths in self._lengths.items() if other > priority
        )
        # Of its own those that wait are all before it, and it is one more.
        return before + self._lengths_of(priority).up_to(own) + 1

    def place_of(self, key: str, turn: T) -> int:
        """Which turn this one has as the line stands, slots going round the keys; 0 if none.

        For people who wait, so it may look at every key.
        """
        turns = self._turns.get(key)
        if turns is None or turn not in turns:
            return 0
        own = list(turns).index(turn) + 1
        priority, place = self._priority(key), own
        for other, line in self._turns.items():
            if other == key or self._priority(other) < priority:
                continue
            if self._priority(other) > priority:
                place += len(line)
            else:
                before = self._fewest_held.is_before(other, key)
                place += min(len(line), own if before else own - 1)
        return place

    def _priority(self, key: str) -> int:
        return self._priorities.get(key, 0)

    def _lengths_of(self, priority: int) -> Lengths:
        found = self._lengths.get(priority)
        if found is None:
            found = self._lengths[priority] = Lengths(self.size)
        return found

    def _rank(self, key: str) -> None:
        turns = self._turns.get(key)
        if turns is None:
            self._fewest_held.drop(key)
            self._most_waiting.drop(key)
        else:
            held, priority = self._held[key], self._priority(key)
            self._fewest_held.put(key, (-priority, held))
            self._most_waiting.put(key, (priority, -len(turns), -held))
