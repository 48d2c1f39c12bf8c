from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.demo import values

if TYPE_CHECKING:
    from proxy.demo.values import Kind, Value


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (values.SECONDS, "0.2", 0.2),
        (values.SECONDS, "2s", 2.0),
        (values.SECONDS, "250ms", 0.25),
        (values.NUMBER, "0", 0.0),
        (values.COUNT, "17", 17),
        (values.AT_LEAST_ONE, "1", 1),
        (values.SIZE, "4096", 4096),
        (values.SIZE, "64KiB", 65536),
        (values.SIZE, "1mib", 1048576),
        (values.FAILURE_CODE, "529", 529),
        (values.REDIRECT_CODE, "307", 307),
        (values.INTERIM_CODE, "103", 103),
        (values.FLAG, "", True),
        (values.FLAG, "on", True),
        (values.FLAG, "No", False),
        (values.NAME, "a b", "a b"),
        (values.HEADER, "X-A:b: c", "X-A:b: c"),
    ],
)
def test_values_that_fit(kind: Kind, text: str, value: Value) -> None:
    """Text that fits its kind is read as the value it means."""
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (values.SECONDS, "soon"),
        (values.SECONDS, "-1"),
        (values.SECONDS, "inf"),
        (values.NUMBER, "nan"),
        (values.COUNT, "-1"),
        (values.COUNT, "1.5"),
        (values.AT_LEAST_ONE, "0"),
        (values.SIZE, "1MB"),
        (values.SIZE, "big"),
        (values.FAILURE_CODE, "200"),
        (values.REDIRECT_CODE, "404"),
        (values.INTERIM_CODE, "101"),
        (values.FLAG, "maybe"),
        (values.NAME, ""),
        (values.HEADER, "no colon"),
        (values.HEADER, "X-A:b\r\nX-B:c"),
    ],
)
def test_values_that_do_not_fit(kind: Kind, text: str) -> None:
    """Anything else is a ValueError; nothing is guessed."""
    with pytest.raises(ValueError, match=r".*"):
        kind.read(text)
