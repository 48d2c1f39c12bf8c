from __future__ import annotations

import math
import re

import pytest

from proxy.demo.faults import FAULTS


@pytest.mark.parametrize("name", FAULTS)
def test_a_row_is_complete(name: str) -> None:
    """Each fault has a name that survives a path, a usable default, and both its sentences."""
    fault = FAULTS[name]
    assert re.fullmatch(r"[a-z0-9-]+", name)
    assert fault.stage
    assert fault.does
    assert fault.gateway
    endless = isinstance(fault.default, float) and math.isinf(fault.default)
    if not endless and fault.default is not True:
        assert fault.kind.read(str(fault.default)) == fault.default


def test_an_argument_is_explained_where_there_is_one() -> None:
    """Only switches go without an argument in the table."""
    bare = [name for name, fault in FAULTS.items() if not fault.argument]
    assert all(FAULTS[name].default is True for name in bare)
