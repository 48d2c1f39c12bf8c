"""The line decides fairly, whatever comes and goes: by example and by any sequence of steps."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.edge.fair_queue import FairQueue, Lengths, Ranking

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["come", "leave", "free"]), st.sampled_from("abcd"), st.integers(0, 9)
    ),
    max_size=120,
)


class Model:
    """The line's rules said the slow way, with lists."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.line: list[tuple[str, int]] = []
        self.held: Counter[str] = Counter()

    @property
    def waits(self) -> Counter[str]:
        """How many of each key wait."""
        return Counter(key for key, _ in self.line)


def full_of(line: FairQueue[int], *keys: str) -> None:
    """Let these come one after the other."""
    for number, key in enumerate(keys):
        line.join(key, number)


def test_the_next_slot_goes_to_the_key_that_holds_fewest() -> None:
    """Who has come first does not count between keys; within one it does."""
    line: FairQueue[int] = FairQueue(10)
    for key in "ggm":
        line.slot_taken(key)
    full_of(line, "g", "g", "m", "m", "new")
    served = []
    while (waiter := line.next()) is not None:
        served.append(waiter)
    assert served == [("new", 4), ("m", 2), ("g", 0), ("m", 3), ("g", 1)]


def test_a_newcomer_of_a_key_that_waits_less_has_the_place_of_the_greediest_last() -> None:
    """The last of the key that waits most leaves; those before it keep their places."""
    line: FairQueue[int] = FairQueue(4)
    full_of(line, "polite", "greedy", "greedy", "greedy")
    assert line.full
    assert line.make_room("new") == ("greedy", 3)
    line.join("new", 9)
    assert line.make_room("greedy") is None


def test_two_of_a_kind_do_not_send_each_other_away() -> None:
    """In a full line where each waits once, a newcomer that holds as many is refused."""
    line: FairQueue[int] = FairQueue(2)
    full_of(line, "a", "b")
    assert line.make_room("c") is None


def test_where_both_would_wait_as_long_the_one_that_holds_more_makes_room() -> None:
    """A key with a slot and a request in line gives way to one that has neither; never back."""
    line: FairQueue[int] = FairQueue(1)
    line.slot_taken("greedy")
    full_of(line, "greedy")
    assert line.make_room("polite") == ("greedy", 0)
    line.join("polite", 1)
    assert line.make_room("greedy") is None


def test_a_slot_that_is_given_back_counts_no_more() -> None:
    """Also where its key is in line already."""
    line: FairQueue[int] = FairQueue(10)
    for key in "aab":
        line.slot_taken(key)
    full_of(line, "b", "a")
    line.slot_released("a")
    line.slot_released("a")
    assert line.next() == ("a", 1)
    line.slot_released("a")
    line.slot_released("b")
    full_of(line, "a", "b")
    assert [line.next(), line.next(), line.next()] == [("b", 0), ("a", 0), ("b", 1)]


def test_who_gives_back_one_slot_of_several_holds_the_others() -> None:
    """And is served after who holds fewer."""
    line: FairQueue[int] = FairQueue(10)
    for key in "aaab":
        line.slot_taken(key)
    line.slot_released("a")
    full_of(line, "a", "b")
    assert [line.next(), line.next()] == [("b", 1), ("a", 0)]


def test_nothing_is_kept_of_a_key_that_has_gone() -> None:
    """Whoever has a network of addresses has as many keys as it likes."""
    line: FairQueue[int] = FairQueue(4)
    for number, priority in enumerate((0, 1, 0, 2)):
        line.join(f"{number}", number, priority)
    for _ in range(2):
        served = line.next()
        assert served is not None
        line.slot_released(served[0])
    assert len(line.remove_all()) == 2
    kept = (line._held, line._waiters, line._priorities)
    ranked = (line._fewest_held._entries, line._most_waiting._entries)
    assert [len(structure) for structure in (*kept, *ranked)] == [0] * 5


def test_a_keys_priority_is_changed_while_it_waits() -> None:
    """By a reload: all of it that are in line keep the one with which the first of them came."""
    line: FairQueue[int] = FairQueue(10)
    line.join("b", 0)
    line.join("a", 1)
    line.join("a", 2, priority=1)
    positions = [line.position_of(*waiter) for waiter in (("b", 0), ("a", 1), ("a", 2))]
    assert positions == [1, 2, 3]
    assert (line.position("c"), line.position("c", 1)) == (3, 1)
    for turn in (1, 2):
        assert line.leave("a", turn)
    assert (line.position("c"), line.position("c", 1)) == (2, 1)
    line.join("a", 3, priority=1)
    assert line.next() == ("a", 3)


def test_a_higher_priority_goes_first_and_is_forgotten_with_its_last() -> None:
    """Whatever it holds; and it makes room for nobody of a lower one."""
    line: FairQueue[int] = FairQueue(2)
    line.slot_taken("first")
    line.join("second", 1)
    line.join("first", 2, priority=1)
    assert line.make_room("second") is None
    assert (line.position("third"), line.position("third", 1), line.position("third", 2)) == (
        3,
        2,
        1,
    )
    assert line.next() == ("first", 2)
    line.join("first", 3)
    assert line.next() == ("second", 1)


def test_a_higher_priority_has_a_place_even_of_one_that_waits_as_little() -> None:
    """The line is full of a lower one."""
    line: FairQueue[int] = FairQueue(1)
    line.join("low", 1)
    assert line.make_room("high", priority=1) == ("low", 1)


def test_the_turn_of_one_that_waits() -> None:
    """Slots go round the keys, those that hold fewer first; a higher priority is before all."""
    line: FairQueue[int] = FairQueue(10)
    line.slot_taken("b")
    full_of(line, "b", "a", "a", "a")
    assert [line.position_of("a", waiter) for waiter in (1, 2, 3)] == [1, 3, 4]
    assert line.position_of("b", 0) == 2
    line.join("c", 9, priority=1)
    assert line.position_of("c", 9) == 1
    assert line.position_of("b", 0) == 3
    assert (line.position_of("a", 7), line.position_of("nobody", 1)) == (0, 0)


@pytest.mark.parametrize("size", [0, 1, 5])
@given(steps=STEPS)
def test_by_any_sequence_of_steps_it_keeps_its_rules(
    size: int, steps: list[tuple[str, str, int]]
) -> None:
    """As the slow model decides, so does the line, and nothing is left over at the end."""
    line: FairQueue[int] = FairQueue(size)
    model = Model(size)
    for number, (step, key, which) in enumerate(steps):
        if step == "come":
            _come(line, model, key, number)
        elif step == "leave" and model.line:
            gone = model.line.pop(which % len(model.line))
            assert line.leave(*gone)
            assert not line.leave(*gone)
        elif step == "free":
            _free(line, model, key)
        assert line.waiting == len(model.line) <= size
        own = model.waits[key] + 1
        longest = min(own, size)
        before = sum(min(waits, longest) for waits in model.waits.values())
        assert line.position(key) == before + 1
    assert sorted(line.remove_all()) == sorted(waiter for _, waiter in model.line)
    assert line.waiting == 0
    assert line.next() is None


def _come(line: FairQueue[int], model: Model, key: str, number: int) -> None:
    """A newcomer; where the line is full it is the model that says who may be sent away."""
    if line.full:
        gone = line.make_room(key)
        waits = model.waits
        if gone is None:
            longest = max(waits.values(), default=0)
            assert waits[key] + 1 >= longest
            return
        assert waits[gone[0]] == max(waits.values())
        assert waits[key] < waits[gone[0]]
        assert gone == [waiter for waiter in model.line if waiter[0] == gone[0]][-1]
        model.line.remove(gone)
    line.join(key, number)
    model.line.append((key, number))


def _free(line: FairQueue[int], model: Model, key: str) -> None:
    """A slot of this key, or a new one, is free."""
    if model.held[key]:
        model.held[key] -= 1
        line.slot_released(key)
    next_up = line.next()
    assert (next_up is None) == (not model.line)
    if next_up is not None:
        held = model.held
        assert held[next_up[0]] == min(held[key] for key, _ in model.line)
        assert next_up == next(waiter for waiter in model.line if waiter[0] == next_up[0])
        model.line.remove(next_up)
        held[next_up[0]] += 1


def test_a_ranking_does_not_grow_with_its_history() -> None:
    """Ranks that come and go for days leave nothing behind."""
    ranking = Ranking()
    for number in range(10_000):
        ranking.put("a", (number % 7,))
        ranking.put(f"{number % 5}", (number,))
    assert len(ranking._heap) <= 2 * 6 + 64
    ranking.drop("a")
    assert ranking.first() == "0"


def test_a_ranking_keeps_its_order_when_it_is_swept() -> None:
    """Whatever ranks the keys had before."""
    ranking = Ranking()
    keys = "abcdefgh"
    for number in range(500):
        place = number % len(keys)
        ranking.put(keys[place], (number // len(keys) * (place - 3) % 17, -place))
    ranks = dict(ranking._entries)
    ranked = []
    while (first := ranking.first()) is not None:
        ranked.append(first)
        ranking.drop(first)
    assert ranked == sorted(keys, key=ranks.__getitem__)


def test_the_lowest_rank_is_first_right_after_a_sweep() -> None:
    """Though the keys that are left were put in the opposite order."""
    ranking = Ranking()
    for rank, key in enumerate("cba"):
        ranking.put(key, (9 - rank,))
    for rank in range(100, 300):
        before = len(ranking._heap)
        ranking.put("d", (rank,))
        if len(ranking._heap) < before:
            break
    assert len(ranking._heap) == 4
    assert ranking.first() == "a"


@given(st.lists(st.integers(1, 30), max_size=20), st.integers(0, 40))
def test_lengths_are_summed_up_to_any_of_them(lengths: list[int], limit: int) -> None:
    """As a sum over all keys would say."""
    tree = Lengths(30)
    for length in lengths:
        for size in range(1, length + 1):
            tree.change(size, 1)
    assert tree.up_to(limit) == sum(min(length, limit) for length in lengths)
