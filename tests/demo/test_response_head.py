from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from proxy.demo.plan import Plan
from proxy.demo.response_head import Framing, Head, framing_for, head_bytes, retry_headers

if TYPE_CHECKING:
    from proxy.demo.grammar_values import Value


def lines(plan: Plan, framing: Framing = Framing.CHUNKED, status: int = 200) -> list[str]:
    """Write a head and give its lines."""
    head = Head(status, [("X-A", "b")], framing, 1000)
    return head_bytes(head, plan).decode().split("\r\n")


@pytest.mark.parametrize(
    ("framing", "line"),
    [
        (Framing.CHUNKED, "Transfer-Encoding: chunked"),
        (Framing.LENGTH, "Content-Length: 1000"),
        (Framing.CLOSE, "Connection: close"),
    ],
)
def test_framing_is_announced(framing: Framing, line: str) -> None:
    """One header tells how the body ends, and only one."""
    head = lines(Plan(), framing)
    assert line in head
    assert sum(field.split(":")[0] in FRAMING_HEADERS for field in head) == 1


FRAMING_HEADERS = ("Transfer-Encoding", "Content-Length", "Connection")


@pytest.mark.parametrize(
    ("faults", "streamed", "http10", "framing"),
    [
        ((), True, False, Framing.CHUNKED),
        ((), False, False, Framing.LENGTH),
        ((), True, True, Framing.CLOSE),
        (("close",), False, False, Framing.CLOSE),
        (("http10",), True, False, Framing.CLOSE),
        (("length-long",), True, False, Framing.LENGTH),
        (("cut-clean",), False, False, Framing.CHUNKED),
        (("cut",), False, False, Framing.CHUNKED),
        (("cut-inside",), False, False, Framing.CHUNKED),
        (("cut-reset",), False, False, Framing.CHUNKED),
        (("gzip",), False, False, Framing.CHUNKED),
    ],
)
def test_framing_is_chosen(
    faults: tuple[str, ...], streamed: bool, http10: bool, framing: Framing
) -> None:
    """Streams are chunked, JSON has a length; faults and old clients ask for something else."""
    plan = Plan(faults=dict.fromkeys(faults, 1))
    assert framing_for(plan, streamed=streamed, http10=http10) is framing


@pytest.mark.parametrize(
    ("faults", "length"), [({"length-long": 7}, 1007), ({"length-short": 7}, 993)]
)
def test_length_is_a_lie(faults: dict[str, Value], length: int) -> None:
    """The announced length is off by just so much, and never negative."""
    assert f"Content-Length: {length}" in lines(Plan(faults=faults), Framing.LENGTH)
    assert "Content-Length: 0" in lines(Plan(faults={"length-short": 5000}), Framing.LENGTH)


def test_status_lines() -> None:
    """The reason is the registered one, 529's own, or an honest unknown."""
    assert lines(Plan())[0] == "HTTP/1.1 200 OK"
    assert lines(Plan(), status=529)[0] == "HTTP/1.1 529 Overloaded"
    assert lines(Plan(), status=599)[0] == "HTTP/1.1 599 Unknown"
    assert lines(Plan(faults={"http10": True}))[0] == "HTTP/1.0 200 OK"


def test_headers_of_ones_own() -> None:
    """Asked-for headers stand in the head, in order and repeated if said so."""
    head = lines(Plan(headers=("X-B: c", "X-B:d")))
    assert [line for line in head if line.startswith("X-")] == ["X-A: b", "X-B: c", "X-B: d"]


@pytest.mark.parametrize(
    ("wait", "status", "headers"),
    [
        (None, 500, []),
        (None, 429, [("Retry-After", "1"), ("retry-after-ms", "1000")]),
        (0.25, 503, [("Retry-After", "1"), ("retry-after-ms", "250")]),
        (3.0, 500, [("Retry-After", "3"), ("retry-after-ms", "3000")]),
    ],
)
def test_when_to_come_again(
    wait: float | None, status: int, headers: list[tuple[str, str]]
) -> None:
    """429 and 503 always say it, others when told to; seconds are rounded up."""
    assert retry_headers(Plan(retry_after=wait), status) == headers
