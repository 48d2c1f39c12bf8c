from __future__ import annotations

import json

from proxy.demo.answer_text import FILL, STAMP, inside, json_bytes, template, tokens


def said(count: int, start: int = 0) -> str:
    """Join tokens to text."""
    text: str = json.loads(b'"' + b"".join(tokens(count, start=start)) + b'"')
    return text


def test_tokens_join_to_json() -> None:
    """Any number of tokens, joined, is the inside of a JSON string, round after round."""
    assert said(3) == "Grüezi! 🌊"
    assert said(0) == ""
    assert said(2_000).count("Grüezi!") > 4


def test_tokens_from_a_place() -> None:
    """Starting later gives what the whole text has there."""
    assert said(50) == said(20) + said(30, start=20)


def test_early_tokens_hold_wide_characters() -> None:
    """Within the first few tokens there are characters of two and of four bytes."""
    sizes = {len(letter.encode()) for letter in said(6)}
    assert {2, 4} <= sizes


def test_json_is_compact_and_raw() -> None:
    """No spaces, no escapes for what UTF-8 can say."""
    assert json_bytes({"a": ["ü", None]}) == '{"a":["ü",null]}'.encode()
    assert inside('say "ü"\n') == 'say \\"ü\\"\\n'.encode()


def test_placeholders_stay_raw() -> None:
    """The two placeholders come out as single bytes that no JSON could hold."""
    assert json_bytes(FILL.decode() + STAMP.decode()) == b'"' + FILL + STAMP + b'"'


def test_template() -> None:
    """A value is encoded around its placeholder."""
    assert template({"a": FILL.decode(), "b": 1}) == (b'{"a":"', b'","b":1}')
