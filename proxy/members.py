"""Reads a few members of a JSON object and builds nothing else of it.

A body of 31 KB, unpacked, can stand for ten million lists: whatever is built of it is memory and
time that a client gets for nothing. So members are wanted as `msgspec.Raw`, which is checked and
not built, and only what has the right type is decoded further.
"""

from __future__ import annotations

import codecs
import re
import secrets
from typing import TYPE_CHECKING, TypeVar

import msgspec

from proxy.errors import BadRequest

if TYPE_CHECKING:
    from msgspec.json import Decoder

T = TypeVar("T")

_PIECE_BYTES = 64 * 1024
_DEEP = 512
"""Where nesting is reported from; the parser gives up somewhere beyond it."""
_TRIES = 4
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_LONE_SURROGATE = re.compile(
    rb"((?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+)"
    rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
)
"""What stands before a half of a surrogate pair, and that half (RFC 8259, 8.2)."""


def read(body: bytes, decoder: Decoder[T]) -> T:
    """The members that the decoder wants of a body, which is checked whole.

    A half of a surrogate pair in a text, which browsers can send, is valid to the letter; it is
    read as U+FFFD. Raises `BadRequest`, naming the byte, for what is no JSON object in UTF-8.
    """
    found = _read(body, decoder)
    _check_utf8(body)
    return found


def _read(body: bytes, decoder: Decoder[T]) -> T:
    try:
        return _decoded(body, decoder)
    except msgspec.DecodeError as error:
        whole = _without_lone_surrogates(body)
        if whole == body:
            raise _malformed(error, len(body)) from None
    try:
        return _decoded(whole, decoder)
    except msgspec.DecodeError as error:
        raise _malformed(error, len(body)) from None


def text_of(raw: msgspec.Raw, most: int) -> str:
    """A member's text; empty if it is none, or one of more bytes than that."""
    data = bytes(raw)
    if not data.startswith(b'"') or len(data) > most:
        return ""
    return msgspec.json.decode(data, type=str)


def place_of(body: bytes, name: str, value: bytes, decoder: Decoder[T]) -> int:
    """Where a top-level member's value stands in a body; -1 if that cannot be told for sure.

    The same letters may stand in a text or deeper inside. So each place, from the end on, is
    tried: something unheard-of is put there, and then it must be what the member holds.
    """
    key = re.compile(rb'"' + re.escape(name.encode()) + rb'"[ \t\r\n]*:[ \t\r\n]*')
    end = len(body)
    for _ in range(_TRIES):
        end = body.rfind(b'"' + name.encode() + b'"', 0, end)
        if end < 0:
            break
        found = key.match(body, end)
        if found is None or not body.startswith(value, found.end()):
            continue
        at = found.end()
        unheard = b'"%s"' % secrets.token_hex(16).encode()
        trial = body[:at] + unheard + body[at + len(value) :]
        try:
            seen = getattr(_decoded(trial, decoder), name)
        except msgspec.DecodeError:
            continue
        if bytes(seen) == unheard:
            return at
    return -1


def _without_lone_surrogates(body: bytes) -> bytes:
    """The body, just as long, with U+FFFD in place of each half of a pair."""
    parts: list[bytes] = []
    at = 0
    # Never searched for, always matched from where the last one ended: linear in the body's size.
    while found := _LONE_SURROGATE.match(body, at):
        parts += (found[1], rb"\ufffd")
        at = found.end()
    return b"".join((*parts, body[at:]))


def _decoded(body: bytes, decoder: Decoder[T]) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise BadRequest("The body must be a JSON object.") from None
    except RecursionError:
        at = _deep_at(body)
        raise BadRequest(f"The body is nested too deeply (byte {at}).") from None


def _check_utf8(body: bytes) -> None:
    """JSON is UTF-8 (RFC 8259, 8.1).

    Looked at in pieces: as one text it would take up to four times its size.
    """
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), _PIECE_BYTES):
        pending = len(decoder.getstate()[0])
        end = start + _PIECE_BYTES
        try:
            decoder.decode(body[start:end], final=end >= len(body))
        except UnicodeDecodeError as error:
            at = start - pending + error.start
            raise BadRequest(f"The body is no UTF-8 (byte {at}).") from None


def _deep_at(body: bytes) -> int:
    depth = 0
    for token in _TOKEN.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth > _DEEP:
                return token.start()
        elif token[0] in b"]}":
            depth -= 1
    return len(body)


def _malformed(error: msgspec.DecodeError, size: int) -> BadRequest:
    """The fault and its byte, which msgspec leaves out when the text just stops."""
    reason = str(error).removeprefix("JSON is malformed: ")
    if reason.startswith("trailing characters"):
        # Here msgspec counts from one.
        where = f"there is more after its end (byte {int(reason.rpartition(' ')[2][:-1]) - 1})"
    elif "byte" in reason:
        where = reason
    else:
        where = f"it ends too early (byte {size})" if size else "it is empty (byte 0)"
    return BadRequest(f"The body is no valid JSON: {where}.")
