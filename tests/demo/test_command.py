from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from proxy.demo.command import add_arguments, run
from tests.demo.peer import body_for, listen, request

SCRIPT = """
import argparse, sys
from proxy.demo.command import add_arguments, run
parser = argparse.ArgumentParser()
add_arguments(parser)
sys.exit(run(parser.parse_args()))
"""


def parsed(*arguments: str) -> argparse.Namespace:
    """Parse the options as `sluice demo` does."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(arguments)


async def command(*arguments: str) -> tuple[asyncio.subprocess.Process, str]:
    """Start the command, and give its process and the first line it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        SCRIPT,
        *arguments,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    assert process.stderr is not None
    line = await asyncio.wait_for(process.stderr.readline(), 20)
    return process, line.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_listens_and_ends_at_once(number: signal.Signals) -> None:
    """One line says where; a signal ends it with 0, whatever streams are open."""
    process, line = await command("--port", "0", "--rate", "0", "--tokens", "3")
    port = int(line.rsplit(":", 1)[1].split("/")[0])
    assert "demo upstream listens on http://127.0.0.1:" in line
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(*body_for("chat", "hang=2")))
    assert await reader.readuntil(b"Gr\xc3\xbcezi")
    os.kill(process.pid, number)
    assert await asyncio.wait_for(process.wait(), 5) == 0
    assert not (await listen(reader)).whole
    writer.close()


async def test_it_listens_on_a_unix_socket() -> None:
    """With --unix there is no port, and the socket is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        path = Path(folder) / "demo.sock"
        process, line = await command("--unix", str(path), "--rate", "0", "--ttft", "0")
        assert f"unix:{path}" in line
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(request(*body_for("messages", "tokens=2")))
        assert (await listen(reader)).whole
        writer.close()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0
        assert not path.exists()


@pytest.mark.no_blockbuster
def test_a_port_that_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    """It says so in one line and ends with 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert run(parsed("--port", str(taken.getsockname()[1]))) == 1
    (record,) = [record for record in caplog.records if record.name == "proxy.demo"]
    assert "cannot listen" in record.getMessage()


def test_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    """--faults prints the page and serves nothing."""
    assert run(parsed("--faults")) == 0
    assert "| `cut-utf8` |" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("--rate", "fast"), ("--tokens", "-1"), ("--ttft", "soon")])
def test_options_that_are_wrong(
    arguments: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """The option is named, and what would be right."""
    with pytest.raises(SystemExit):
        parsed(*arguments)
    error = capsys.readouterr().err
    assert arguments[0] in error
    assert "0 or more" in error
