"""Clients that want a worker's memory or its time: `python -m … HOW HOST PORT COUNT SECONDS`.

HOW is one of `HOW` below. A program of its own, so that it slows no one else. It prints how many
answers of each status came, `none` for a connection that was closed without one, `waiting` for
those that have none in the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import zlib
from collections import Counter
from functools import cache

MIB = 1024 * 1024
CHAT = "/v1/chat/completions"
BODY_BYTES = 32 * MIB - 1024
_UNPACKED_BYTES = 31 * MIB
_LISTS = 10_000_000
_FIRST_BYTES = BODY_BYTES - 1024


def _head(path: str, length: int, *fields: str) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1",
        "Host: sluice.test",
        "Content-Type: application/json",
        f"Content-Length: {length}",
        *fields,
    )
    return "\r\n".join((*lines, "", "")).encode()


@cache
def _packed(body: bytes, coding: str) -> bytes:
    made = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS if coding == "gzip" else zlib.MAX_WBITS)
    data = made.compress(body) + made.flush()
    return _head(CHAT, len(data), f"Content-Encoding: {coding}") + data


def _unending(_number: int) -> bytes:
    """All but the end of a body of 32 MiB."""
    return _head("/v1/files", BODY_BYTES) + bytes(_FIRST_BYTES)


def _drip(_number: int) -> bytes:
    """The first byte of a body of 32 MiB; what comes after it is no news."""
    return _head("/v1/files", BODY_BYTES) + b"x"


@cache
def _thousandfold_body(_: int) -> bytes:
    return b'{"model":"demo","messages":[],"x":"' + b" " * _UNPACKED_BYTES + b'"}'


def _thousandfold(number: int) -> bytes:
    return _packed(_thousandfold_body(0), ("gzip", "deflate")[number % 2])


@cache
def _lists_body(model: bytes) -> bytes:
    return b'{"model":%s,"messages":[%s[]]}' % (model, b"[]," * _LISTS)


def _lists(number: int) -> bytes:
    return _packed(_lists_body((b'"demo"', b'"renamed"')[number % 2]), "gzip")


HOW = {"unending": _unending, "thousandfold": _thousandfold, "lists": _lists, "drip": _drip}


async def ask(host: str, port: int, sent: bytes, until: float, seen: Counter[str]) -> None:
    """Send one request and note what comes of it."""
    try:
        async with asyncio.timeout_at(until):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                sending = asyncio.create_task(_send(writer, sent))
                line = await reader.readline()
                sending.cancel()
                seen[line.split(b" ")[1].decode() if line else "none"] += 1
            finally:
                writer.transport.abort()
    except TimeoutError:
        seen["waiting"] += 1
    except (OSError, IndexError):
        seen["none"] += 1


async def _send(writer: asyncio.StreamWriter, sent: bytes) -> None:
    for start in range(0, len(sent), MIB):
        writer.write(sent[start : start + MIB])
        await writer.drain()


async def attack(how: str, host: str, port: int, count: int, seconds: float) -> None:
    """Have so many of them at it for so long, and print what they met with."""
    make = HOW[how]
    seen: Counter[str] = Counter()
    make(0), make(1)
    until = asyncio.get_running_loop().time() + seconds
    began = time.monotonic()
    await asyncio.gather(*(ask(host, port, make(index), until, seen) for index in range(count)))
    print(json.dumps({"began": began, "ended": time.monotonic(), "seen": seen}))  # noqa: T201


if __name__ == "__main__":
    os.nice(5)
    how, host, port, count, seconds = sys.argv[1:]
    asyncio.run(attack(how, host, int(port), int(count), float(seconds)))
