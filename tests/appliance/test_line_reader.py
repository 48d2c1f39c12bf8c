from __future__ import annotations

import os
import subprocess
import sys
import time

import structlog.testing

from proxy.appliance.line_reader import LineReader, to_log


def pumped(*parts: bytes) -> tuple[list[bytes], str]:
    """What the sink gets for these writes, and the end of stderr."""
    reading, writing = os.pipe()
    got: list[bytes] = []
    lines = LineReader(reading, got.append, "test")
    lines.start()
    for part in parts:
        os.write(writing, part)
    os.close(writing)
    assert lines.wait(30)
    return got, lines.last()


def test_only_whole_lines_are_passed_on() -> None:
    """A line that comes in pieces is one piece in the log, so that two writers never mix."""
    got, _ = pumped(b"o", b"ne\ntw", b"o\n")
    assert b"".join(got) == b"one\ntwo\n"
    assert all(piece.endswith(b"\n") for piece in got)


def test_a_last_line_without_an_end_is_not_lost() -> None:
    """What a process wrote last counts, even if the line has no end."""
    got, last = pumped(b"whole\ncut of")
    assert got[-1] == b"cut of\n"
    assert last == "whole\ncut of"


def test_the_end_of_stderr_is_its_last_lines() -> None:
    """Of much that was said only the end is kept."""
    _, last = pumped(b"".join(b"line %d\n" % number for number in range(1000)))
    assert last.splitlines()[-1] == "line 999"
    assert len(last.splitlines()) == 30


def test_a_line_without_end_is_held_in_bounded_memory() -> None:
    """A line of several megabytes is passed on in pieces."""
    got, _ = pumped(*[b"x" * 65536] * 40)
    assert len(got) > 1
    assert sum(piece.count(b"x") for piece in got) == 40 * 65536


def test_plain_text_becomes_log_lines() -> None:
    """A child that writes for people does not break the log of JSON."""
    with structlog.testing.capture_logs() as logged:
        to_log("demo")(b"one\ntwo\n")
    assert [(entry["event"], entry["message"]) for entry in logged] == [
        ("demo", "one"),
        ("demo", "two"),
    ]


_TWO_WRITERS = """
import threading
from proxy.appliance.line_reader import to_stderr

def write(letter):
    for _ in range(4):
        to_stderr((letter * 700 + b"\\n") * 90)

writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
[one.start() for one in writers]
"""


def test_lines_of_two_children_do_not_mix_where_the_log_is_read_slowly() -> None:
    """A pipe that is full takes the rest of a long write later, after what others write."""
    command = [sys.executable, "-c", _TWO_WRITERS]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        time.sleep(0.5)  # By now the pipe is full.
        lines = process.stderr.read().splitlines()
    assert {line: lines.count(line) for line in set(lines)} == {b"a" * 700: 360, b"b" * 700: 360}
