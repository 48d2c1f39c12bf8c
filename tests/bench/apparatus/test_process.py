from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

from bench.apparatus.process import Command, free_port, limited, started

PARENT = """
import subprocess
process = subprocess.Popen(["sleep", "60"])
print(process.pid, flush=True)
process.wait()
"""


def gone(pid: int) -> bool:
    """Whether the process has ended, waited for or not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True
    return stat.rpartition(")")[2].split()[0] == "Z"


def test_a_child_that_outlives_its_parent() -> None:
    """It is ended too."""
    with started(Command([sys.executable, "-c", PARENT])) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        assert not gone(child)
    for _ in range(10_000):
        if gone(child):
            break
    assert gone(child)


def test_a_process_that_takes_too_long() -> None:
    """Whoever reads from it is not kept waiting."""
    with started(Command(["sleep", "60"])) as process, limited(process, 0.1):
        assert process.stdout is not None
        assert process.stdout.read() == b""
        assert process.wait() == -signal.SIGKILL


def test_a_free_port() -> None:
    """It can be listened on, and is none that the kernel gives to clients."""
    port = free_port()
    with socket.socket() as server:
        server.bind(("127.0.0.1", port))
    assert port < 32768
