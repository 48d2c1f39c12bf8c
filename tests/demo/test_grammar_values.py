from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.demo import grammar_values

if TYPE_CHECKING:
    from proxy.demo.grammar_values import Value, ValueKind


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (grammar_values.SECONDS, "0.2", 0.2),
        (grammar_values.SECONDS, "2s", 2.0),
        (grammar_values.SECONDS, "250ms", 0.25),
        (grammar_values.NUMBER, "0", 0.0),
        (grammar_values.COUNT, "17", 17),
        (grammar_values.AT_LEAST_ONE, "1", 1),
        (grammar_values.SIZE, "4096", 4096),
        (grammar_values.SIZE, "64KiB", 65536),
        (grammar_values.SIZE, "1mib", 1048576),
        (grammar_values.FAILURE_CODE, "529", 529),
        (grammar_values.REDIRECT_CODE, "307", 307),
        (grammar_values.INTERIM_CODE, "103", 103),
        (grammar_values.FLAG, "", True),
        (grammar_values.FLAG, "on", True),
        (grammar_values.FLAG, "No", False),
        (grammar_values.NAME, "a b", "a b"),
        (grammar_values.HEADER, "X-A:b: c", "X-A:b: c"),
    ],
)
def test_values_that_fit(kind: ValueKind, text: str, value: Value) -> None:
    """Text that fits its kind is read as the value it means."""
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (grammar_values.SECONDS, "soon"),
        (grammar_values.SECONDS, "-1"),
        (grammar_values.SECONDS, "inf"),
        (grammar_values.NUMBER, "nan"),
        (grammar_values.COUNT, "-1"),
        (grammar_values.COUNT, "1.5"),
        (grammar_values.AT_LEAST_ONE, "0"),
        (grammar_values.SIZE, "1MB"),
        (grammar_values.SIZE, "big"),
        (grammar_values.FAILURE_CODE, "200"),
        (grammar_values.REDIRECT_CODE, "404"),
        (grammar_values.INTERIM_CODE, "101"),
        (grammar_values.FLAG, "maybe"),
        (grammar_values.NAME, ""),
        (grammar_values.HEADER, "no colon"),
        (grammar_values.HEADER, "X-A:b\r\nX-B:c"),
    ],
)
def test_values_that_do_not_fit(kind: ValueKind, text: str) -> None:
    """Anything else is a ValueError; nothing is guessed."""
    with pytest.raises(ValueError, match=r".*"):
        kind.read(text)
