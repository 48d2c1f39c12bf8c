from __future__ import annotations

import pytest

from proxy.demo.events import Event, Part, Style, event, style_of
from proxy.demo.plan import Plan

SAID = Event(b'{"a":1}', Part.TOKEN, b"delta")
UNNAMED = Event(b"[DONE]", Part.END)


@pytest.mark.parametrize(
    ("faults", "written"),
    [
        ((), b'event: delta\ndata: {"a":1}\n\n'),
        (("crlf",), b'event: delta\r\ndata: {"a":1}\r\n\r\n'),
        (("cr",), b'event: delta\rdata: {"a":1}\r\r'),
        (("no-space",), b'event:delta\ndata:{"a":1}\n\n'),
        (("multiline",), b'event: delta\ndata: {\ndata: "a":1\ndata: }\n\n'),
        (("comments",), b': still here\nevent: delta\ndata: {"a":1}\n\n'),
        (
            ("fields",),
            b'event: delta\nid: demo-1\nretry: 2000\nx-demo\ndata: {"a":1}\n\n',
        ),
        (("cr", "no-space", "multiline"), b'event:delta\rdata:{\rdata:"a":1\rdata:}\r\r'),
    ],
)
def test_an_event_in_each_style(faults: tuple[str, ...], written: bytes) -> None:
    """Each fault of form changes the writing in its own way, and they go together."""
    plan = Plan(faults=dict.fromkeys(faults, True))
    assert style_of(plan, b"\n").writer()(SAID) == written


def test_the_end_mark_stays_on_one_line() -> None:
    """What is no JSON object is never broken into lines."""
    assert Style(multiline=True).writer()(UNNAMED) == b"data: [DONE]\n\n"
    assert Style().writer()(UNNAMED) == b"data: [DONE]\n\n"


def test_the_provider_has_its_own_line_end() -> None:
    """Without a fault the family's line end holds; a fault overrides it."""
    assert style_of(Plan(), b"\r\n").eol == b"\r\n"
    assert style_of(Plan(faults={"cr": True}), b"\r\n").eol == b"\r"


def test_comment() -> None:
    """A comment is a block of its own."""
    assert Style(eol=b"\r\n").comment(b"hi") == b": hi\r\n\r\n"


def test_an_event_of_a_value() -> None:
    """A JSON value becomes compact data."""
    assert event({"a": "ü"}, Part.OPEN, "x") == Event('{"a":"ü"}'.encode(), Part.OPEN, b"x")
