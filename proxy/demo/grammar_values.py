"""The types of values in the demo's grammar, with their parsers."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Container

Value = bool | int | float | str

_SIZE_UNITS = {"": 1, "b": 1, "kib": 1024, "mib": 1024**2, "gib": 1024**3}
_YES = frozenset({"", "1", "true", "yes", "on"})
_NO = frozenset({"0", "false", "no", "off"})


class ValueKind(NamedTuple):
    """One type of value: a description of valid values, and the parser.

    The parser raises ValueError for an invalid value.
    """

    right: str
    read: Callable[[str], Value]


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number) or number < 0:
        raise ValueError(text)
    return number


def _seconds(text: str) -> float:
    if text.endswith("ms"):
        return _number(text[:-2]) / 1000
    return _number(text.removesuffix("s"))


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


def _at_least_one(text: str) -> int:
    number = _count(text)
    if number == 0:
        raise ValueError(text)
    return number


def _size(text: str) -> int:
    match = re.fullmatch(r"(\d+)\s*([a-z]*)", text.lower())
    if match is None or match[2] not in _SIZE_UNITS:
        raise ValueError(text)
    return int(match[1]) * _SIZE_UNITS[match[2]]


def _code_of(codes: Container[int]) -> Callable[[str], int]:
    def read(text: str) -> int:
        code = int(text)
        if code not in codes:
            raise ValueError(text)
        return code

    return read


def _flag(text: str) -> bool:
    word = text.lower()
    if word not in _YES | _NO:
        raise ValueError(text)
    return word in _YES


def _name(text: str) -> str:
    if not text or not text.isprintable():
        raise ValueError(text)
    return text


def _header(text: str) -> str:
    name, colon, value = text.partition(":")
    token = re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name)
    if token is None or not colon or not value.isprintable():
        raise ValueError(text)
    return text


NUMBER = ValueKind("a number, 0 or more", _number)
SECONDS = ValueKind("a time of 0 or more, such as 0.2 (seconds) or 200ms", _seconds)
COUNT = ValueKind("a whole number, 0 or more", _count)
AT_LEAST_ONE = ValueKind("a whole number, 1 or more", _at_least_one)
SIZE = ValueKind("a size in bytes, such as 4096, 64KiB or 1MiB", _size)
FAILURE_CODE = ValueKind("a status code from 400 to 599", _code_of(range(400, 600)))
REDIRECT_CODE = ValueKind("a status code from 300 to 399", _code_of(range(300, 400)))
INTERIM_CODE = ValueKind("an interim status code: 100, 102 or 103", _code_of((100, 102, 103)))
FLAG = ValueKind("nothing, or true or false", _flag)
NAME = ValueKind("some printable text", _name)
HEADER = ValueKind("a header as Name:value", _header)
