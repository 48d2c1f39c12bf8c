"""Only what drives whole programs may wait long: all else has fake clocks, or waits for events."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
LONGEST_SECONDS = 0.1
WHOLE_PROGRAMS = {
    *("appliance", "bench", "browser", "examples", "fresh", "image", "integration", "kills"),
    *("monitoring", "real", "soak"),
}
# Nobody waits there: the event loop's clock is moved on.
FAKE_CLOCKS = {"relay"}
FILES = [
    path
    for path in sorted(TESTS.rglob("*.py"))
    if path.relative_to(TESTS).parts[0] not in WHOLE_PROGRAMS | FAKE_CLOCKS
]
LONG = {
    "state/test_reservations.py": "a lease is measured by the store's clock",
    "upstream/test_attempt.py": "the kernel's buffers have to be full for longer than a timeout",
}


def long_sleeps(source: str) -> list[float]:
    """The seconds of every call of a `sleep` that are written down and too many."""
    return [
        call.args[0].value
        for call in ast.walk(ast.parse(source))
        if isinstance(call, ast.Call)
        and ast.unparse(call.func).endswith("sleep")
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, int | float)
        and call.args[0].value > LONGEST_SECONDS
    ]


def test_no_test_sleeps_long() -> None:
    """Unless its file is listed with the reason."""
    sleeps = {
        str(path.relative_to(TESTS)): seconds
        for path in FILES
        if (seconds := long_sleeps(path.read_text()))
    }
    assert sleeps.keys() == LONG.keys(), sleeps


@pytest.mark.parametrize(
    ("source", "seconds"),
    [
        ("time.sleep(2)", [2]),
        ("await sleep(.5)", [0.5]),
        ("asyncio.sleep(0.1)", []),
        ("sleep(x)", []),
    ],
)
def test_a_long_sleep_is_found(source: str, seconds: list[float]) -> None:
    """By any name."""
    assert long_sleeps(source) == seconds
