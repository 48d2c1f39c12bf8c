"""Requests that are turned away before anything is done for them."""

from __future__ import annotations

import pytest

from proxy import request_errors
from proxy.errors import Fault, SluiceError
from proxy.record import EndedBy

FAULTS = [
    value.fault
    for value in vars(request_errors).values()
    if isinstance(value, type) and issubclass(value, SluiceError) and value is not SluiceError
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.code)
def test_it_is_the_callers_to_mend(fault: Fault) -> None:
    """Counted as rejected, with words on what to do; no upstream is blamed."""
    assert fault.ended_by is EndedBy.REJECTED
    assert fault.advice
    assert not fault.blames_upstream


def test_no_two_have_one_status() -> None:
    """Status and code say the same."""
    assert len({fault.status for fault in FAULTS}) == len(FAULTS) == 6
