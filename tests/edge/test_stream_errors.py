"""What clients of resumable streams are told when something goes wrong."""

from __future__ import annotations

import inspect

import pytest

from proxy.edge import stream_errors
from proxy.edge.stream_errors import UNSEEN, LogLost, LogsUnavailable, ProducerLost
from proxy.errors import SluiceError
from proxy.record import EndedBy

ERRORS = [
    value
    for _, value in inspect.getmembers(stream_errors, inspect.isclass)
    if issubclass(value, SluiceError) and value is not SluiceError
]


@pytest.mark.parametrize("error", ERRORS)
def test_each_says_what_to_do(error: type[SluiceError]) -> None:
    """A client is to act on it, and is never let retry by us what was answered in part."""
    assert error.fault.advice.endswith(".")
    assert not error.fault.retry_safe


def test_codes_are_told_apart() -> None:
    """By programs: no two errors share one, unless one is a case of the other."""
    kinds = [error for error in ERRORS if error.__base__ is SluiceError]
    assert len({error.fault.code for error in kinds}) == len(kinds) == 8
    for case in set(ERRORS) - set(kinds):
        assert case.fault.code in {kind.fault.code for kind in kinds if issubclass(case, kind)}


@pytest.mark.parametrize(
    ("name", "status", "ended_by"),
    [
        ("StreamNotFound", 404, EndedBy.REJECTED),
        ("EventsGone", 410, EndedBy.REJECTED),
        ("TooManyReaders", 503, EndedBy.SHED),
        ("LogsUnavailable", 503, EndedBy.FAILED),
        ("ProducerLost", 502, EndedBy.FAILED),
        ("LogLost", 502, EndedBy.FAILED),
        ("Stopped", 499, EndedBy.CLIENT_LEFT),
        ("NobodyReads", 499, EndedBy.CLIENT_LEFT),
    ],
)
def test_whose_fault_it_is(name: str, status: int, ended_by: EndedBy) -> None:
    """The status and the count agree."""
    fault = getattr(stream_errors, name).fault
    assert (fault.status, fault.ended_by) == (status, ended_by)


def test_an_end_after_which_a_client_may_have_seen_more() -> None:
    """Only where the log, and not the stream, was cut."""
    assert {ProducerLost.fault.code, LogLost.fault.code} == UNSEEN
    assert LogsUnavailable.fault.code not in UNSEEN
