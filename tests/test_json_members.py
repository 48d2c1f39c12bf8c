"""Members of a JSON object, taken without building the rest."""

from __future__ import annotations

from mmap import mmap

import msgspec
import pytest

from proxy import json_members
from proxy.errors import BadRequest


class _Model(msgspec.Struct):
    model: msgspec.Raw = msgspec.Raw()


DECODER = msgspec.json.Decoder(_Model)


def read(body: bytes) -> bytes:
    return bytes(json_members.read(body, DECODER).model)


@pytest.mark.parametrize(
    ("body", "byte"),
    [
        (b'{"model":"\xff"}', 10),
        (b'{"\xff":1}', 2),
        (b'{"a":"\xc3\xa9","b":"\xc3"}', 15),
        (b'{"a":"' + b"x" * 65_530 + b'\xe2\x82"}', 65_536),
        (b'{"a":"' + b"\xc3\xa9" * 100_000 + b'\xff"}', 200_006),
    ],
)
def test_bytes_that_are_no_utf8(body: bytes, byte: int) -> None:
    """The first of them is named, also where it lies on the boundary between two pieces."""
    with pytest.raises(BadRequest, match=rf"not valid UTF-8 \(byte {byte}\)"):
        read(body)


@pytest.mark.parametrize("text", ["\u00e9" * 70_000, "x" + "\U0001f30a" * 50_000])
def test_text_of_any_language_passes(text: str) -> None:
    """Wherever the pieces in which it is looked at end."""
    assert read(f'{{"model":"{text}"}}'.encode()) == f'"{text}"'.encode()


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        (rb"\ud800", rb"\ufffd"),
        (rb"\udc00x", rb"\ufffdx"),
        (rb"\ud800\ud800", rb"\ufffd\ufffd"),
        (rb"\ud83d\ude00\uD83D", rb"\ud83d\ude00\ufffd"),
        (rb"\\ud800\\\ud800", rb"\\ud800\\\ufffd"),
        (rb"\n\u0041\udfff\"", rb"\n\u0041\ufffd\""),
    ],
)
def test_halves_of_surrogate_pairs(text: bytes, read_as: bytes) -> None:
    """They are read as the replacement character; escaped backslashes and whole pairs stay."""
    assert read(b'{"model":"%s"}' % text) == b'"%s"' % read_as


def test_a_broken_escape_is_still_broken() -> None:
    """Leniency towards halves of pairs is no leniency towards anything else."""
    for body in (rb'{"a":"\ud8"}', rb'{"a":"\ud800","b":"\x"}', rb'{"a":"\ud800'):
        with pytest.raises(BadRequest, match="byte"):
            read(body)


def test_how_deep_is_told_by_brackets_outside_of_texts() -> None:
    """Brackets in a text nest nothing."""
    before = b'{"a":"' + b"[" * 5000 + b'","model":'
    with pytest.raises(BadRequest) as refused:
        read(before + b"[" * 100_000)
    at = int(refused.value.happened.rpartition("byte ")[2].rstrip(").")) - len(before)
    assert 0 < at < 1000


def test_a_text_of_a_member() -> None:
    """Only a text that is short enough is one."""
    assert json_members.text_of(msgspec.Raw(b'"a\\u0062"'), 10) == "ab"
    assert json_members.text_of(msgspec.Raw(b'"too long a text"'), 10) == ""
    assert json_members.text_of(msgspec.Raw(b"[1]"), 10) == ""
    assert json_members.text_of(msgspec.Raw(), 10) == ""


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"model":1}', 9),
        (b'{"x":"\\"model\\":1","model" :\n1}', 29),
        (b'{"model":1,"x":{"model":1}}', 9),
        (b'{"model":1,"model":1}', 19),
        (b'{"\\u006dodel":1}', 14),
        (b'{"x":{"model":1}}', -1),
    ],
)
def test_where_a_member_stands(body: bytes, place: int) -> None:
    """Its own place, and not that of the same letters elsewhere."""
    assert json_members.place_of(body, "model", DECODER) == place
    with mmap(-1, max(1, len(body))) as shared:
        shared[:] = body
        assert json_members.place_of(shared, "model", DECODER) == place
        assert shared[:] == body


@pytest.mark.parametrize("in_memory_of_both", [False, True])
@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b'{"model":1}', [b"1"]),
        (b'{"model" : "a" ,"x":{"model":1},"model":"b"}', [b'"b"', b'"a"']),
        (b'{"\\u006dodel":"a","model":2,"mod\\u0065l":[3]}', [b"[3]", b"2", b'"a"']),
        (b'{"x":"\\ud83d","model":"\\udc00"}', [b'"\\udc00"']),
        (b'{"model":""}', [b'""']),
        (b'{"x":"\\"model\\":1","y":"\\\\","z":{"model":1}}', []),
    ],
)
def test_every_place_where_a_member_stands(
    body: bytes, values: list[bytes], in_memory_of_both: bool
) -> None:
    """Twice, with escapes, beside halves of surrogate pairs: all of them, the last one first."""
    given: bytes | mmap = body
    if in_memory_of_both:
        given = mmap(-1, len(body))
        given[:] = body
    places = json_members.places_of(given, "model", DECODER)
    assert [body[start:end] for start, end in places] == values


def test_a_name_without_end() -> None:
    """Each time costs another parse: a few are enough for anybody."""
    body = b"{" + b",".join([b'"model":1'] * 9) + b"}"
    with pytest.raises(BadRequest, match="more than 8 times"):
        json_members.places_of(body, "model", DECODER)
