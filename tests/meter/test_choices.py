from __future__ import annotations

from proxy.meter.choices import Choices


def test_all_have_ended_when_each_that_began_has() -> None:
    """In whatever order."""
    choices = Choices()
    assert not choices.all_ended
    choices.begin(0)
    choices.begin(1)
    choices.end(1)
    assert not choices.all_ended
    choices.end(0)
    assert choices.all_ended


def test_those_asked_for_are_waited_for() -> None:
    """Some servers make one after the other."""
    choices = Choices(asked=2)
    choices.begin(0)
    choices.end(0)
    assert not choices.all_ended
    choices.begin(1)
    choices.end(1)
    assert choices.all_ended


def test_an_end_without_a_beginning_counts() -> None:
    """A choice may show itself with its finish reason only."""
    choices = Choices()
    choices.end(0)
    assert choices.all_ended


def test_a_choice_that_begins_late_is_waited_for() -> None:
    """Though as many have ended as were asked for."""
    choices = Choices()
    choices.end(0)
    choices.begin(1)
    assert not choices.all_ended


def test_absurd_indexes_take_no_memory() -> None:
    """Neither negative nor huge ones, nor none at all."""
    choices = Choices()
    for index in (None, -5, 10**12, *range(100_000)):
        choices.begin(index)
        choices.end(index)
    assert choices.all_ended
    assert choices._begun.bit_length() == 128
