"""What is read from a request's body, and what is added to it."""

from __future__ import annotations

import json

import pytest

from proxy.edge import request_params
from proxy.edge.routes import Route, route_of
from proxy.errors import BadRequest
from proxy.upstream.body_edit import edited
from tests.fixtures.nesting import TOO_DEEP

CHAT = route_of("/v1/chat/completions")


def read(
    body: bytes, route: Route = CHAT, *, include_usage: bool = True
) -> request_params.RequestParams:
    fields = request_params.parse(body)
    return request_params.to_params(route, body, fields, include_usage=include_usage)


def sent(asked: request_params.RequestParams) -> bytes:
    """The body that goes out."""
    edits = () if asked.added_usage is None else (asked.added_usage,)
    return b"".join(edited(asked.body, edits))


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"", "byte 0"),
        (b"{", "byte 1"),
        (b'{"a":1,}', "byte 7"),
        (b'{"messages":[1,2}', "byte 16"),
        (b'{"model":"a"} x', "byte 14"),
        (b"\xff", "byte 0"),
    ],
)
def test_a_body_that_does_not_parse(body: bytes, where: str) -> None:
    """The error says at which byte."""
    with pytest.raises(BadRequest, match=where):
        read(body)


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"1", b"null"])
def test_json_that_is_no_object(body: bytes) -> None:
    """Such a body is refused as well, in words of its own."""
    with pytest.raises(BadRequest, match="JSON object"):
        read(body)


def test_what_is_asked_for() -> None:
    """Model, streaming and the number of choices; odd types are the upstream's business."""
    asked = read(b'{"model": "m", "stream": true, "n": 3}', include_usage=False)
    assert (asked.model, asked.wants_stream, asked.choices) == ("m", True, 3)
    odd = read(b'{"model": 4, "stream": "yes", "n": null}')
    assert (odd.model, odd.wants_stream, odd.choices) == ("", False, 1)


def test_usage_is_asked_for_on_the_clients_behalf() -> None:
    """A chat stream without it gets it; all other bytes stay where they were."""
    body = b' {"model":"m","stream":true,"messages":[{"role":"user","content":"\xc3\xa9"}]}'
    asked = read(body)
    assert asked.hides_usage
    assert json.loads(sent(asked)) == json.loads(body) | {"stream_options": {"include_usage": True}}
    assert sent(asked).endswith(body[2:])


@pytest.mark.parametrize("options", ["null", "{}", '{"include_usage":false}', '{"x":[1]}'])
def test_stream_options_of_the_clients_own(options: str) -> None:
    """They are kept, with usage added, and stand in the body once."""
    asked = read(f'{{"stream":true,"stream_options":{options},"seed":1}}'.encode())
    expected = (json.loads(options) or {}) | {"include_usage": True}
    assert json.loads(sent(asked))["stream_options"] == expected
    assert sent(asked).count(b"stream_options") == 1
    assert asked.hides_usage


@pytest.mark.parametrize(
    ("route", "body"),
    [
        (CHAT, b'{"stream":true,"stream_options":{"include_usage":true}}'),
        (CHAT, b'{"stream":false}'),
        (CHAT, b"{}"),
        (route_of("/v1/responses"), b'{"stream":true}'),
        (route_of("/v1/messages"), b'{"stream":true}'),
    ],
)
def test_nothing_is_added_where_it_is_not_needed(route: Route, body: bytes) -> None:
    """The client's own body goes on, the very same bytes."""
    asked = read(body, route)
    assert asked.body is body
    assert not asked.hides_usage


def test_a_nested_mention_is_no_stream_option() -> None:
    """Text that merely contains the name is not taken for the member."""
    body = b'{"stream":true,"messages":[{"content":"say \\"stream_options\\" twice"}]}'
    asked = read(body)
    assert json.loads(sent(asked)) == json.loads(body) | {"stream_options": {"include_usage": True}}


@pytest.mark.parametrize("name", ["model", "n", "stream", "stream_options", "other"])
@pytest.mark.parametrize(
    "value", ["[" * TOO_DEEP + "]" * TOO_DEEP, '{"a":' * TOO_DEEP + "1" + "}" * TOO_DEEP]
)
def test_nesting_without_an_end(name: str, value: str) -> None:
    """Whichever member it stands in, the client learns from which byte it is too deep."""
    with pytest.raises(BadRequest, match=r"nested too deeply \(byte \d+\)"):
        read(f'{{"{name}":{value}}}'.encode())


def test_values_of_no_use() -> None:
    """What is no name and no number of choices that anybody could mean is not taken for one."""
    long = "m" * 5000
    asked = read(f'{{"model": "{long}", "n": {"9" * 5000}, "stream": "true"}}'.encode())
    assert (asked.model, asked.choices, asked.wants_stream) == ("", 1, False)


def test_a_half_of_a_surrogate_pair_passes_to_the_letter() -> None:
    """Browsers can send one; the upstream gets what the client wrote."""
    body = b'{"stream":true,"model":"m\\ud800","messages":[{"content":"\\ud83d\\\\ud800 \\udc00"}]}'
    asked = read(body)
    assert asked.hides_usage
    assert sent(asked).endswith(body[1:])
    assert asked.model == "m\ufffd"


def test_options_whose_name_is_written_with_an_escape() -> None:
    """They are found all the same, and the name stays as it is."""
    asked = read(b'{"stream":true,"stream\\u005foptions":{}}')
    assert sent(asked) == b'{"stream":true,"stream\\u005foptions":{"include_usage":true}}'
    assert asked.hides_usage


def test_options_that_are_too_large_are_left_alone() -> None:
    """Then usage is not asked for, and nothing is hidden."""
    asked = read(b'{"stream":true,"stream_options":{"x":"%s"}}' % (b"x" * 5000))
    assert not asked.hides_usage


def test_a_text_that_looks_like_the_options() -> None:
    """The last place with the same letters may be inside of another member."""
    body = b'{"stream":true,"stream_options":{},"x":{"stream_options":{}}}'
    asked = read(body)
    changed = b'{"stream":true,"stream_options":{"include_usage":true},"x":{"stream_options":{}}}'
    assert sent(asked) == changed
