"""Reads a few members of a JSON object without building objects for the rest of it.

A compressed body of 31 KB can contain ten million lists, so a client could make Sluice spend memory
and time. Therefore members are declared as `msgspec.Raw`, which is validated but not built, and
only those of the expected type are decoded further.
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
"""The offsets of a value's first byte, and of the byte after its last."""

_PIECE_BYTES = 64 * 1024
_MAX_DEPTH = 512
"""The depth that is reported as too deep; the parser fails somewhere beyond it."""
_MAX_REPEATS = 8
"""How often a name may be repeated; each one costs another parse."""
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)
_LONE_SURROGATE = re.compile(
    rb"((?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])"
    rb"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+)"
    rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}",
    re.DOTALL,
)
"""The text before an unpaired surrogate, and that surrogate (RFC 8259, 8.2)."""


def read(body: Body, decoder: Decoder[T]) -> T:
    """Return the members that the decoder declares; the whole body is validated.

    An unpaired surrogate, which browsers can send, is formally valid and is read as U+FFFD. Raises
    `BadRequest`, naming the byte, if the body is not a JSON object in UTF-8.
    """
    members = _read(body, decoder)
    _check_utf8(body)
    return members


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


def text_of(raw: msgspec.Raw, max_bytes: int) -> str:
    """Return a member's text; empty if it is not a text, or longer than `max_bytes`."""
    data = bytes(raw)
    if not data.startswith(b'"') or len(data) > max_bytes:
        return ""
    return msgspec.json.decode(data, type=str)


def places_of(body: Body, name: str, decoder: Decoder[T]) -> tuple[Place, ...]:
    """Return the places of a top-level member's values in a validated body, the last one first.

    A name may be repeated, and written with escapes. An `mmap` is modified. Raises `BadRequest` if
    the name is repeated too often.
    """
    scratch, value = _writable(body, name, decoder)
    literal = b'"%s"' % name.encode()
    places: list[Place] = []
    while value:
        if len(places) == _MAX_REPEATS:
            raise BadRequest(f"The body has {name} more than {_MAX_REPEATS} times.")
        start = _offset(value, scratch)
        places.append((start, start + len(value)))
        _forget_name(scratch, start)
        if scratch.find(literal) < 0 and scratch.find(b"\\u00") < 0:
            break
        value = _value(scratch, name, decoder)
    return tuple(places)


def place_of(body: Body, name: str, decoder: Decoder[T]) -> int:
    """Return the offset of a top-level member's last value; -1 if there is none."""
    scratch, value = _writable(body, name, decoder)
    return _offset(value, scratch) if value else -1


def _writable(body: Body, name: str, decoder: Decoder[T]) -> tuple[bytearray | mmap, memoryview]:
    """Return a writable copy of the body (an `mmap` itself), and the member's value in it."""
    scratch = body if isinstance(body, mmap) else bytearray(body)
    try:
        return scratch, _value(scratch, name, decoder)
    except msgspec.DecodeError:
        scratch = bytearray(_without_lone_surrogates(body))
        return scratch, _value(scratch, name, decoder)


def _value(body: bytearray | mmap, name: str, decoder: Decoder[T]) -> memoryview:
    """Return a view of the member's value; empty if the member is missing."""
    return memoryview(getattr(decoder.decode(body), name))


def _offset(value: memoryview, scratch: bytearray | mmap) -> int:
    """Return the offset of a value; the decoder returns a view of it without its offset.

    The view shows changes of the body. So a binary search blanks one part of the body after
    another, and looks whether the value has changed.
    """
    low, high = 0, len(scratch)
    while high - low > 1:
        middle = (low + high) // 2
        original = scratch[low:middle]
        scratch[low:middle] = bytes(middle - low)
        is_within = not value[0]
        scratch[low:middle] = original
        low, high = (low, middle) if is_within else (middle, high)
    return low


def _forget_name(scratch: bytearray | mmap, start: int) -> None:
    """Overwrite the name of the value that begins at `start` with one of the same length."""
    end = scratch.rfind(b'"', 0, start)
    begin = scratch.rfind(b'"', 0, end) + 1
    scratch[begin:end] = b"_" * (end - begin)


def _without_lone_surrogates(body: Body) -> bytes:
    """Return the body with each unpaired surrogate replaced by U+FFFD; its length is unchanged."""
    parts: list[bytes] = []
    offset = 0
    # Matched from the end of the previous match, not searched for: linear in the body's size.
    while surrogate := _LONE_SURROGATE.match(body, offset):
        parts += (surrogate[1], rb"\ufffd")
        offset = surrogate.end()
    return b"".join((*parts, body[offset:]))


def _decoded(body: Body, decoder: Decoder[T]) -> T:
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        raise BadRequest("The body must be a JSON object.") from None
    except RecursionError:
        offset = _too_deep_at(body)
        raise BadRequest(f"The body is nested too deeply (byte {offset}).") from None


def _check_utf8(body: Body) -> None:
    """Check that the body is UTF-8 (RFC 8259, 8.1).

    It is decoded in pieces: as one text it would take up to four times its size.
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
            offset = start - pending + error.start
            raise BadRequest(f"The body is not valid UTF-8 (byte {offset}).") from None


def _too_deep_at(body: Body) -> int:
    depth = 0
    for token in _TOKEN.finditer(body):
        if token[0] in b"[{":
            depth += 1
            if depth > _MAX_DEPTH:
                return token.start()
        elif token[0] in b"]}":
            depth -= 1
    return len(body)


def _malformed(error: msgspec.DecodeError, size: int) -> BadRequest:
    """Return the error with its byte, which msgspec omits if the text is truncated."""
    reason = str(error).removeprefix("JSON is malformed: ")
    if reason.startswith("trailing characters"):
        # In this message msgspec counts from one.
        where = f"there is more after its end (byte {int(reason.rpartition(' ')[2][:-1]) - 1})"
    elif "byte" in reason:
        where = reason
    else:
        where = f"it ends too early (byte {size})" if size else "it is empty (byte 0)"
    return BadRequest(f"The body is not valid JSON: {where}.")
