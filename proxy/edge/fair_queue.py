"""The queue for slots, fair between keys. It decides who is next, and does not wait itself.

Max-min fairness (Bertsekas and Gallager, Data Networks, 6.5.2): the next free slot goes to the key
that holds the fewest, and in a full queue the key with the most waiters gives one up for a key with
fewer. A higher priority comes before all that. Every operation takes O(log n) for n queued keys.
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
    """Keys ordered by rank, lowest first, then by age.

    A heap with lazy deletion: outdated entries are skipped, and removed when they are the majority.
    """

    def __init__(self) -> None:
        self._entries: dict[str, tuple[Rank, int, str]] = {}
        self._heap: list[tuple[Rank, int, str]] = []
        self._order = count()

    def put(self, key: str, rank: Rank) -> None:
        """Set the key's rank; an unchanged rank keeps its position."""
        known = self._entries.get(key)
        if known is not None and known[0] == rank:
            return
        entry = self._entries[key] = (rank, next(self._order), key)
        heapq.heappush(self._heap, entry)
        if len(self._heap) > 2 * len(self._entries) + 64:
            self._heap = list(self._entries.values())
            heapq.heapify(self._heap)

    def is_before(self, key: str, other: str) -> bool:
        """Whether `key` comes before `other`; both must have a rank."""
        return self._entries[key] < self._entries[other]

    def drop(self, key: str) -> None:
        """Remove the key."""
        self._entries.pop(key, None)

    def first(self) -> str | None:
        """Return the key with the lowest rank; None if empty."""
        while self._heap and self._entries.get(self._heap[0][2]) is not self._heap[0]:
            heapq.heappop(self._heap)
        return self._heap[0][2] if self._heap else None


class Lengths:
    """Counts keys by their number of waiters, with prefix sums (a Fenwick tree)."""

    def __init__(self, longest: int) -> None:
        self._longest = longest
        self._sums: Counter[int] = Counter()

    def change(self, length: int, by: int) -> None:
        """Add `by` to the number of keys with at least `length` waiters, 1 or more."""
        while length <= self._longest:
            self._sums[length] += by
            length += length & -length

    def up_to(self, length: int) -> int:
        """Return the sum of all keys' waiters, counting at most `length` of each."""
        length, total = min(length, self._longest), 0
        while length:
            total += self._sums[length]
            length &= length - 1
        return total


class FairQueue(Generic[T]):
    """Held slots and waiters by key. A waiter is any hashable value, such as a future."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.waiting = 0
        self._held: Counter[str] = Counter()
        self._waiters: dict[str, OrderedDict[T, None]] = {}
        self._fewest_held = Ranking()
        self._most_waiting = Ranking()
        self._lengths: dict[int, Lengths] = {}
        """By priority."""
        self._priorities: dict[str, int] = {}
        """Of queued keys, if not 0."""

    @property
    def full(self) -> bool:
        """Whether the queue has reached its size."""
        return self.waiting >= self.size

    def slot_taken(self, key: str) -> None:
        """Note that the key holds one more slot."""
        self._held[key] += 1
        self._rank(key)

    def slot_released(self, key: str) -> None:
        """Note that the key holds one slot less."""
        self._held[key] -= 1
        if not self._held[key]:
            del self._held[key]
        self._rank(key)

    def join(self, key: str, waiter: T, priority: int = 0) -> None:
        """Append a waiter to its key's. The queue must not be full.

        All waiters of a key have the same priority; the highest is served first.
        """
        if key not in self._waiters and priority:
            self._priorities[key] = priority
        waiters = self._waiters.setdefault(key, OrderedDict())
        waiters[waiter] = None
        self.waiting += 1
        self._lengths_of(self._priority(key)).change(len(waiters), 1)
        self._rank(key)

    def leave(self, key: str, waiter: T) -> bool:
        """Remove a waiter. Return whether it was queued."""
        waiters = self._waiters.get(key)
        if waiters is None or waiter not in waiters:
            return False
        self._lengths_of(self._priority(key)).change(len(waiters), -1)
        del waiters[waiter]
        self.waiting -= 1
        if not waiters:
            del self._waiters[key]
            self._priorities.pop(key, None)
        self._rank(key)
        return True

    def next(self) -> tuple[str, T] | None:
        """Remove the waiter that gets the next free slot; None if the queue is empty."""
        key = self._fewest_held.first()
        if key is None:
            return None
        waiter = next(iter(self._waiters[key]))
        self.leave(key, waiter)
        self.slot_taken(key)
        return key, waiter

    def make_room(self, newcomer: str, priority: int = 0) -> tuple[str, T] | None:
        """Remove a waiter from a full queue for a new request of this key; None if none has to go.

        The one removed is the last of the key with the most waiters, among the lowest priority. If
        the two keys would only swap places, the key that holds more slots loses; otherwise they
        could displace each other forever.
        """
        key = self._most_waiting.first()
        if key is None or key == newcomer:
            return None
        if priority < self._priority(key):
            return None
        waits, own = len(self._waiters[key]), len(self._waiters.get(newcomer, ())) + 1
        greedier = own > waits or (own == waits and self._held[newcomer] >= self._held[key])
        if greedier and priority == self._priority(key):
            return None
        waiter = next(reversed(self._waiters[key]))
        self.leave(key, waiter)
        return key, waiter

    def remove_all(self) -> list[T]:
        """Remove and return all waiters."""
        waiters = [(key, waiter) for key, queue in self._waiters.items() for waiter in queue]
        for key, waiter in waiters:
            self.leave(key, waiter)
        return [waiter for _, waiter in waiters]

    def position(self, key: str, priority: int = 0) -> int:
        """Return the position of a new request of this key, if slots were granted round-robin."""
        own = len(self._waiters.get(key, ())) + 1
        before = sum(
            lengths.up_to(self.size) for other, lengths in self._lengths.items() if other > priority
        )
        # All waiters of its own key are before it, and it is one more.
        return before + self._lengths_of(priority).up_to(own) + 1

    def position_of(self, key: str, waiter: T) -> int:
        """Return a waiter's present position, if slots are granted round-robin; 0 if not queued.

        For display: it may look at every key, in O(n).
        """
        waiters = self._waiters.get(key)
        if waiters is None or waiter not in waiters:
            return 0
        own = list(waiters).index(waiter) + 1
        priority, position = self._priority(key), own
        for other, line in self._waiters.items():
            if other == key or self._priority(other) < priority:
                continue
            if self._priority(other) > priority:
                position += len(line)
            else:
                before = self._fewest_held.is_before(other, key)
                position += min(len(line), own if before else own - 1)
        return position

    def _priority(self, key: str) -> int:
        return self._priorities.get(key, 0)

    def _lengths_of(self, priority: int) -> Lengths:
        lengths = self._lengths.get(priority)
        if lengths is None:
            lengths = self._lengths[priority] = Lengths(self.size)
        return lengths

    def _rank(self, key: str) -> None:
        waiters = self._waiters.get(key)
        if waiters is None:
            self._fewest_held.drop(key)
            self._most_waiting.drop(key)
        else:
            held, priority = self._held[key], self._priority(key)
            self._fewest_held.put(key, (-priority, held))
            self._most_waiting.put(key, (priority, -len(waiters), -held))
