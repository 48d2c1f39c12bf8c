from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import TYPE_CHECKING

import pytest

from proxy.meter.log_output import LogOutput
from tests.meter.test_series_file import small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINE = b'{"event": "one"}\n'


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for end in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(end)


def filled(writing: int) -> int:
    """Fill a pipe as far as it goes; how many bytes that were."""
    os.set_blocking(writing, False)
    held = 0
    try:
        while True:
            held += os.write(writing, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writing, True)
    return held


def test_lines_come_as_they_are(pipe: tuple[int, int]) -> None:
    """Of bytes and of text, what no encoding has included."""
    stream = LogOutput(pipe[1], "the log")
    assert stream.write(LINE) == len(LINE)
    stream.write("half a pair: \ud800\n")
    assert os.read(pipe[0], 4096) == LINE + b"half a pair: \\ud800\n"


def test_a_reader_that_has_ended_fails_nobody(pipe: tuple[int, int]) -> None:
    """What it did not take is counted."""
    os.close(pipe[0])
    stream = LogOutput(pipe[1], "the log")
    stream.write(LINE * 3)
    assert stream.lost == 3


def test_a_reader_that_stands_still_is_waited_for_once(pipe: tuple[int, int]) -> None:
    """The thousand lines after that are dropped at once, and told of when it goes on."""
    stream = LogOutput(pipe[1], "the log")
    held = filled(pipe[1])
    stream.write(LINE, wait=0.01)
    for _ in range(1000):
        stream.write(LINE, wait=3600)
    assert stream.lost == 1001
    while held > 0:
        held -= len(os.read(pipe[0], held))
    stream.write(LINE)
    lost, line, rest = os.read(pipe[0], 4096).partition(LINE)
    assert json.loads(lost)["lines"] == 1001
    assert (line, rest, stream.lost) == (LINE, b"", 0)


def test_a_writer_does_not_wait_for_another_that_waits(pipe: tuple[int, int]) -> None:
    """The event loop's lines do not wait for a thread that waits for the log."""
    stream = LogOutput(pipe[1], "the log")
    held = filled(pipe[1])
    patient = threading.Thread(target=stream.write, args=(LINE, 3600))
    patient.start()
    stream.write(LINE, wait=0.01)
    # By now the other may not even have begun; in no case has this one taken its time.
    while held > 0:
        held -= len(os.read(pipe[0], held))
    patient.join(20)
    assert not patient.is_alive()


def test_a_full_disk_tears_no_later_line(tmp_path: Path) -> None:
    """Half a line may stand where the disk was full; those after it are whole."""
    with small_disk(tmp_path / "disk", "8k") as disk:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 4096)
        with (disk / "log").open("wb", buffering=0) as file:
            stream = LogOutput(file.fileno(), "the log")
            while not stream.lost:
                stream.write(LINE * 100)
            filler.unlink()
            stream.write(LINE)
        *_, torn, report, last = (disk / "log").read_bytes().splitlines(keepends=True)
    assert torn.rstrip(b"\n") in LINE
    assert json.loads(report)["event"] == "lines_lost"
    assert last == LINE


def test_a_long_line_is_written_whole(pipe: tuple[int, int]) -> None:
    """It is longer than what a pipe takes in one piece."""
    long = b"y" * 50_000 + b"\n"
    LogOutput(pipe[1], "the log").write(LINE + long + LINE)
    got = b""
    while len(got) < len(long) + 2 * len(LINE):
        got += os.read(pipe[0], 65_536)
    assert got == LINE + long + LINE
