from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.meter.tally import REASONING, TEXT, TOOL
from proxy.meter.token_template import TokenTemplate, event_bytes


def event(token: str, key: str = "content", tail: str = "") -> bytes:
    """One chat event as an upstream with short separators sends it."""
    text = json.dumps(token, ensure_ascii=False)
    return f'{{"id":"c","choices":[{{"index":0,"delta":{{"{key}":{text}}}}}]{tail}}}'.encode()


def taught(data: bytes, channel: int = TEXT) -> TokenTemplate:
    """A likeness that has learned from one event."""
    template = TokenTemplate()
    template.learn(b"", data, channel, 1)
    return template


def fits(template: TokenTemplate, data: bytes, name: bytes = b"") -> bool:
    """Whether an event with this data, as it stands in the stream, is one more token."""
    return template.matches(event_bytes(name, data))


def test_nothing_fits_before_a_lesson() -> None:
    """Not even an empty event."""
    template = TokenTemplate()
    assert not fits(template, event("a"))
    assert not fits(template, b"")


@pytest.mark.parametrize("token", ["b", " ", "é", "漢字", "a\\n", "{}", "longer than before"])
def test_another_token_in_the_same_place_fits(token: str) -> None:
    """Whatever it is, escapes included."""
    assert fits(taught(event("a")), event(token))


@pytest.mark.parametrize(
    "other",
    [
        event(""),
        event('"'),
        event('a","role":"x'),
        event("b", key="reasoning"),
        event("b", tail=',"usage":{}'),
        event("b")[:-1],
        event("b") + b" ",
        event("b")[1:],
        event("b").replace(b'"index":0', b'"index":1'),
        event("b").replace(b'"c"', b'"d"'),
        b"",
    ],
)
def test_anything_else_does_not(other: bytes) -> None:
    """An empty token, a quote, another member, another value, a cut: all are parsed."""
    assert not fits(taught(event("a")), other)


@pytest.mark.parametrize(
    "read",
    [
        event_bytes(b"", event("b")) + event_bytes(b"", event("c")),
        event_bytes(b"", event("b"))[:-1],
        event_bytes(b"", event("b")).replace(b"data: ", b"data:"),
        event_bytes(b"", event("b")).replace(b"\n", b"\r\n"),
        event_bytes(b"", event("b").replace(b'"b"', b'"b\nb"')),
        event_bytes(b"", event("b").replace(b'"b"', b'"b\rb"')),
        event_bytes(b"named", event("b")),
        b": comment\n" + event_bytes(b"", event("b")),
    ],
)
def test_what_is_no_single_event_does_not(read: bytes) -> None:
    """Two at once, half a one, other line ends, a line that ends within the token, more lines."""
    assert not taught(event("a")).matches(read)


def test_events_with_a_name_are_alike_with_their_name() -> None:
    """As in the messages family."""
    template = TokenTemplate()
    template.learn(b"delta", event("a", key="text"), TEXT, 1)
    assert fits(template, event("b", key="text"), b"delta")
    assert not fits(template, event("b", key="text"), b"deltb")
    assert not fits(template, event("b", key="text"))


@pytest.mark.parametrize("key", ["thinking", "partial_json", "arguments"])
def test_whatever_the_token_is_called(key: str) -> None:
    """Thoughts and the arguments of calls are tokens too."""
    template = taught(event("a", key=key), TOOL)
    assert (template.channel, fits(template, event("b", key=key))) == (TOOL, True)


def test_an_event_of_several_lines_teaches_nothing() -> None:
    """Its lines are joined by then: how they stood in the stream cannot be told."""
    data = event("a").replace(b"{", b"{\n", 1)
    assert not fits(taught(data), data)


@pytest.mark.parametrize("name", ["obfuscation", "p"])
def test_the_padding_that_hides_lengths_may_differ(name: str) -> None:
    """And nothing but the padding."""
    template = taught(event("a", tail=f',"{name}":"x1Y"'))
    assert fits(template, event("b", tail=f',"{name}":"zzzzzz"'))
    assert fits(template, event("b", tail=f',"{name}":""'))
    assert not fits(template, event("b", tail=f',"{name}":"z","usage":{{}}'))
    assert not fits(template, event("b", tail=f',"usage":{{}},"{name}":"z"'))
    assert not fits(template, event("b"))


def test_a_new_lesson_replaces_the_old() -> None:
    """Reasoning gives way to text."""
    template = taught(event("a", key="reasoning_content"), REASONING)
    assert template.channel == REASONING
    template.learn(b"", event("a"), TEXT, 50)
    assert (template.channel, fits(template, event("b"))) == (TEXT, True)
    assert not fits(template, event("b", key="reasoning_content"))


def test_a_token_that_teaches_nothing_leaves_the_lesson_before_it() -> None:
    """One with a quote in it has no plain string to go by."""
    template = taught(event("a"))
    template.learn(b"", event('"'), TEXT, 2)
    assert fits(template, event("b"))


def test_a_stream_whose_events_are_never_alike_is_given_up() -> None:
    """Lessons cost; in vain they stop."""
    template = TokenTemplate()
    lessons = 0
    while template.worth_learning:
        lessons += 1
        template.learn(b"", event("a", tail=f',"created":{lessons}'), TEXT, lessons)
    assert lessons < 20
    assert not fits(template, event("a", tail=f',"created":{lessons}'))


def test_a_lesson_that_is_made_use_of_does_not_count_against_the_stream() -> None:
    """A stamp that changes once a second is learned anew each second."""
    template = TokenTemplate()
    for second in range(100):
        template.learn(b"", event("a", tail=f',"created":{second}'), TEXT, second * 50 + 1)
        assert fits(template, event("b", tail=f',"created":{second}'))


@given(st.text(min_size=1), st.text())
def test_what_fits_is_the_same_document_with_another_token(first: str, second: str) -> None:
    """For any two tokens, valid JSON that fits differs in its token alone, which is not empty."""
    template = taught(event(first))
    if fits(template, event(second)):
        document = json.loads(event(second))
        assert document["choices"][0]["delta"].pop("content")
        assert document == {"id": "c", "choices": [{"index": 0, "delta": {}}]}


@pytest.mark.parametrize("end", ["\n", "\r"])
def test_a_line_that_ends_within_the_padding_does_not_fit(end: str) -> None:
    """What stands there may be whole events, and the end mark one of them."""
    template = taught(event("a", tail=',"obfuscation":"x"'))
    assert fits(template, event("b", tail=',"obfuscation":"yz"'))
    hidden = f"{end}{end}data: [DONE]{end}{end}"
    assert not fits(template, event("b", tail=f',"obfuscation":"{hidden}"'))
