"""Large bodies, parsed where they hold nothing up."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path

import pytest

from proxy.edge.body_memory import BodyMemory
from proxy.edge.body_parser import PARSED_INLINE_BYTES, BodyParser
from proxy.edge.routes import route_of
from proxy.errors import BadRequest, Overloaded
from proxy.http.decompress import DecompressedBody
from tests.appliance.running import alive, wait_until

CHAT = route_of("/v1/chat/completions")
_MESSAGE = json.dumps({"role": "user", "content": "x" * 50})
LARGE = (
    f'{{"messages": [{", ".join([_MESSAGE] * 200_000)}], "stream": true, "model": "m"}}'.encode()
)


@pytest.fixture
async def body_parser() -> AsyncIterator[BodyParser]:
    parser = BodyParser(BodyMemory(200 * 1024 * 1024, wait_seconds=1.0, most_waiting=10))
    yield parser
    parser.close()


async def test_a_small_body_begins_no_process(body_parser: BodyParser) -> None:
    """What takes less than a millisecond is done on the spot."""
    asked = await body_parser.parse(CHAT, b'{"model":"m"}', include_usage=True)
    assert asked.model == "m"
    assert body_parser._pool is None


async def test_a_large_body_does_not_hold_up_the_loop(
    body_parser: BodyParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is parsed by another process, so the interpreter's lock stays free here."""

    def parsed_here(body: bytes, **_: object) -> None:
        raise AssertionError(f"{len(body)} bytes were parsed in this process")

    monkeypatch.setattr("proxy.edge.body_parser.parse", parsed_here)
    asked = await body_parser.parse(CHAT, LARGE, include_usage=True)
    assert asked.model == "m"
    with pytest.raises(AssertionError, match="in this process"):
        await body_parser.parse(CHAT, b"{}", include_usage=True)


async def test_a_large_body_gets_usage_as_well(body_parser: BodyParser) -> None:
    """What is added to a small body is added to a large one."""
    asked = await body_parser.parse(CHAT, LARGE, include_usage=True)
    assert asked.hides_usage
    assert asked.body is LARGE
    assert asked.added_usage == (1, 1, b'"stream_options":{"include_usage":true},')


async def test_a_large_body_that_does_not_parse(body_parser: BodyParser) -> None:
    """The error is the same, with its byte."""
    with pytest.raises(BadRequest, match=f"byte {len(LARGE) - 1}"):
        await body_parser.parse(CHAT, LARGE[:-1], include_usage=True)


async def test_the_parsing_process_is_killed(body_parser: BodyParser) -> None:
    """The request at hand begins another one, and the next large ones use it."""
    await body_parser.parse(CHAT, LARGE, include_usage=True)
    assert body_parser._pool is not None
    [process] = body_parser._pool._processes.values()
    os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    for _ in range(2):
        assert (await body_parser.parse(CHAT, LARGE, include_usage=True)).model == "m"


def is_dead(pid: int) -> bool:
    """Whether a process has ended."""
    return not alive(pid)


async def test_the_parsing_process_is_idle(
    body_parser: BodyParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while it ends, and the next large body has another."""
    monkeypatch.setattr("proxy.edge.body_parser.IDLE_SECONDS", 0.05)
    for _ in range(2):
        parsing = asyncio.create_task(body_parser.parse(CHAT, LARGE, include_usage=True))
        while body_parser._pool is None or not body_parser._pool._processes:
            await asyncio.sleep(0)
        (pid,) = body_parser._pool._processes
        assert (await parsing).model == "m"
        await asyncio.to_thread(wait_until, partial(is_dead, pid), "its end")
        assert body_parser._pool is None


async def test_the_parsing_process_dies_again_and_again(
    body_parser: BodyParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503: parsed here, such a body would have the streams stand still; nothing stays counted."""

    def killed(_body: bytes, **_: object) -> None:
        raise BrokenProcessPool

    monkeypatch.setattr(body_parser, "_ask", killed)
    with pytest.raises(Overloaded) as refused:
        await body_parser.parse(CHAT, LARGE, include_usage=True)
    assert refused.value.retry_after
    assert body_parser._memory.used == 0


async def test_the_copy_counts(body_parser: BodyParser, monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is there, and one at a time; it is not waited for, but others wait for it."""
    counted: list[int] = []
    asked_of = body_parser._ask

    def seen(body: bytes, *, find_model: bool) -> object:
        counted.append(body_parser._memory.used)
        return asked_of(body, find_model=find_model)

    monkeypatch.setattr(body_parser, "_ask", seen)
    parsing = (body_parser.parse(CHAT, LARGE, include_usage=True) for _ in range(3))
    await asyncio.gather(*parsing)
    assert counted == [len(LARGE)] * 3
    assert body_parser._memory.used == 0


async def test_where_a_large_body_names_its_model(body_parser: BodyParser) -> None:
    """It is found where the body is parsed, so that nothing is looked for on the loop."""
    asked = await body_parser.parse(CHAT, LARGE, include_usage=True, find_model=True)
    [(start, end)] = asked.model_at or ()
    assert LARGE[start:end] == b'"m"'
    small = await body_parser.parse(CHAT, b'{"model":"a"}', include_usage=True, find_model=True)
    assert small.model_at == ((9, 12),)


async def test_the_parsing_process_stands_still(
    body_parser: BodyParser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for for ever: it is killed, and the next large body begins another."""
    await body_parser.parse(CHAT, LARGE, include_usage=True)
    assert body_parser._pool is not None
    [process] = body_parser._pool._processes.values()
    os.kill(process.pid or 0, signal.SIGSTOP)
    monkeypatch.setattr("proxy.edge.body_parser.ANSWER_SECONDS", 0.05)
    with pytest.raises(Overloaded):  # The new one has no time to begin, either.
        await body_parser.parse(CHAT, LARGE, include_usage=True)
    process.join(20)
    assert process.exitcode == -signal.SIGKILL
    monkeypatch.setattr("proxy.edge.body_parser.ANSWER_SECONDS", 60)
    assert (await body_parser.parse(CHAT, LARGE, include_usage=True)).model == "m"


_PARSES = """
import asyncio, os, signal
from tests.edge.test_body_parser import CHAT, LARGE
from proxy.edge.body_memory import BodyMemory
from proxy.edge.body_parser import BodyParser
if __name__ == "__main__":
    one = BodyParser(BodyMemory(10**9, wait_seconds=1, most_waiting=1))
    asyncio.run(one.parse(CHAT, LARGE, include_usage=True))
    print(*[process.pid for process in one._pool._processes.values()], flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_parsing_process_does_not_outlive_its_worker(tmp_path: Path) -> None:
    """Not even one that is killed, and can end nobody."""
    script = tmp_path / "parses.py"
    script.write_text(_PARSES)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, str(script)], env=environment, stdout=subprocess.PIPE, check=False
    )
    assert done.returncode == -signal.SIGKILL
    wait_until(lambda: not alive(int(done.stdout)), "the end of the parsing process")


async def test_what_is_in_the_way_is_not_built(body_parser: BodyParser) -> None:
    """Ten million lists where a number or options should be: only their spelling is looked at."""
    lists = b"[" + b"[]," * 3_000_000 + b"[]]"
    body = b'{"stream":true,"model":%s,"n":%s,"stream_options":%s,"x":%s}' % ((lists,) * 4)
    asked = await body_parser.parse(CHAT, body, include_usage=True)
    assert (asked.model, asked.choices, asked.wants_stream) == ("", 1, True)
    assert asked.added_usage is None


async def test_the_shared_threads_stay_free(body_parser: BodyParser) -> None:
    """Name look-ups and the stop use those; a compressed body has its own."""
    piece = await body_parser.piece(DecompressedBody(gzip.compress(b"x"), "gzip", 10), 10)
    assert piece == b"x"
    assert {
        thread.name.partition("_")[0] for thread in body_parser._decompress_threads._threads
    } == {"unpacking"}


def test_the_threshold_is_small() -> None:
    """No more than half a megabyte is ever parsed on the loop."""
    assert PARSED_INLINE_BYTES <= 512 * 1024
