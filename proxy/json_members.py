"""Reads a few members of a JSON object and builds nothing else of it.

A body of 31 KB, unpacked, can stand for ten million lists: whatever is built of it is memory and
time that a client gets for nothing. So members are wanted as `msgspec.Raw`, which is checked and
not built, and only what has the right type is decoded further.
"""

from __future__ import annotations

import codecs
import re
from mmap import mmap
from typing import TYPE_CHECKING, TypeVar

import msgspec

from proxy.errors import BadRequest

if TYPE_CHECKING:
    from msgspec.json import Decoder

T = TypeVar("T")
Body = bytes | mmap
Place = tuple[int, int]
"""Where a value begins, and where it has ended."""

_PIECE_BYTES = 64 * 1024
_DEEP = 512
"""Where nesting is reported from; the parser gives up somewhere beyond it."""
_MOST_TIMES = 8
"""That one name may come; each costs a parse more."""
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_LONE_SURROGATE = re.compile(
    rb"((?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+)"
    rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
)
"""What stands before a half of a surrogate pair, and that half (RFC 8259, 8.2)."""


def read(body: Body, decoder: Decoder[T]) -> T:
    """The members that the decoder wants of a body, which is checked whole.

    A half of a surrogate pair in a text, which browsers can send, is valid to the letter; it is
    read as U+FFFD. Raises `BadRequest`, naming the byte, for what is no JSON object in UTF-8.
    """
    found = _read(body, decoder)
    _check_utf8(body)
    return found


def _read(body: Body, decoder: Decoder[T]) -> T:
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


def places_of(body: Body, name: str, decoder: Decoder[T]) -> tuple[Place, ...]:
    """Where a top-level member's values stand in a body that has been read, the last one first.

    A name may come more than once, and be written with escapes. An `mmap` is no longer what it was
    afterwards. Raises `BadRequest` where the name comes too often.
    """
    scratch, value = _writable(body, name, decoder)
    literal = b'"%s"' % name.encode()
    found: list[Place] = []
    while value:
        if len(found) == _MOST_TIMES:
            raise BadRequest(f"The body has {name} more than {_MOST_TIMES} times.")
        start = _offset(value, scratch)
        found.append((start, start + len(value)))
        _forget_name(scratch, start)
        if scratch.find(literal) < 0 and scratch.find(b"\\u00") < 0:
            break
        value = _value(scratch, name, decoder)
    return tuple(found)


def place_of(body: Body, name: str, decoder: Decoder[T]) -> int:
    """Where a top-level member's last value begins; -1 if there is none."""
    scratch, value = _writable(body, name, decoder)
    return _offset(value, scratch) if value else -1


def _writable(body: Body, name: str, decoder: Decoder[T]) -> tuple[bytearray | mmap, memoryview]:
    """The body, to be written to and read as it is, and the member's value in it."""
    scratch = body if isinstance(body, mmap) else bytearray(body)
    try:
        return scratch, _value(scratch, name, decoder)
    except msgspec.DecodeError:
        scratch = bytearray(_without_lone_surrogates(body))
        return scratch, _value(scratch, name, decoder)


def _value(body: bytearray | mmap, name: str, decoder: Decoder[T]) -> memoryview:
    """A view of what the decoder has found, empty if that is nothing."""
    return memoryview(getattr(decoder.decode(body), name))


def _offset(value: memoryview, scratch: bytearray | mmap) -> int:
    """Where a value stands, of which the decoder has given a view and not told the place.

    What the view shows changes with what it is a view of: so one half after the other is blanked.
    """
    low, high = 0, len(scratch)
    while high - low > 1:
        middle = (low + high) // 2
        kept = scratch[low:middle]
        scratch[low:middle] = bytes(middle - low)
        is_within = not value[0]
        scratch[low:middle] = kept
        low, high = (low, middle) if is_within else (middle, high)
    return low


def _forget_name(scratch: bytearray | mmap, start: int) -> None:
    """Write another name, as long, before the value that begins there."""
    end = scratch.rfind(b'"', 0, start)
    begin = scratch.rfind(b'"', 0, end) + 1
    scratch[begin:end] = b"_" * (end - begin)


def _without_lone_surrogates(body: Body) -> bytes:
    """The body, just as long, with U+FFFD in place of each half of a pair."""
    parts: list[bytes] = []
    at = 0
    # Never searched for, always matched from where the last one ended: linear in the body's size.
    while found := _LONE_SURROGATE.match(body, at):
        parts += (found[1], rb"\ufffd")
        at = found.end()
    return b"".join((*parts, body[at:]))


def _decoded(body: Body, decoder: Decoder[T]) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise BadRequest("The body must be a JSON object.") from None
    except RecursionError:
        at = _deep_at(body)
        raise BadRequest(f"The body is nested too deeply (byte {at}).") from None


def _check_utf8(body: Body) -> None:
    """JSON is UTF-8 (RFC 8259, 8.1).

    Looked at in pieces: as one text it would take up to four times its size.
    """
    if isinstance(body, bytes) and body.isascii():
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


def _deep_at(body: Body) -> int:
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
