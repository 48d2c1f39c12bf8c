"""Gateways as operators run them, in processes of their own: a worker alone, and the appliance."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fixtures.ports import free_port
from tests.integration.faults.observed_worker import STATUS_SOCKET

START_SECONDS = 40.0
SETTLE_SECONDS = 30.0
_STOP_SECONDS = 20.0
_ROOT = Path(__file__).parents[3]


@dataclass
class Process:
    """A program that listens, and the lines that it writes."""

    popen: subprocess.Popen[bytes]
    url: str
    lines: list[str] = field(default_factory=list)
    ended: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The log line of each finished request, by its id."""

    def read(self) -> None:
        """Take in the lines until there are no more."""
        assert self.popen.stdout is not None
        for raw in self.popen.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.lines.append(line)
            with contextlib.suppress(ValueError):
                said = json.loads(line)
                if isinstance(said, dict) and "ended_by" in said:
                    self.ended[said["request_id"]] = said


@dataclass(frozen=True)
class Upstream:
    """The demo upstream in a process of its own."""

    process: Process

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.process.url

    async def calls(self, run: str) -> list[dict[str, Any]]:
        """What became of the calls of one run; see `proxy.demo.recorded_calls.Call`."""
        found = await asyncio.to_thread(fetch, f"{self.url}/demo/state?run={run}")
        return list(found["calls"])

    async def over(self, run: str) -> list[dict[str, Any]]:
        """The same, once none of them is running any more."""
        calls: list[dict[str, Any]] = []

        async def all_over() -> bool:
            calls[:] = await self.calls(run)
            return all(call["ended_by"] for call in calls)

        await eventually(all_over, "the upstream is still at work")
        return calls


@dataclass(frozen=True)
class RunningGateway:
    """A running gateway, seen as an operator sees it."""

    name: str
    process: Process
    upstream: Upstream
    status_url: str
    admin_url: str

    @property
    def url(self) -> str:
        """Where its clients come."""
        return self.process.url

    async def outcome(self, request_id: str) -> dict[str, Any]:
        """The log line of a finished request."""

        async def logged() -> bool:
            return request_id in self.process.ended

        await eventually(logged, f"no log line of {request_id}")
        return self.process.ended[request_id]

    async def status(self) -> dict[str, Any]:
        """Streams, waiting, and the upstreams' own streams, summed over all workers."""
        found = await asyncio.to_thread(fetch, self.status_url)
        upstreams = found["upstreams"]
        views = upstreams.values() if isinstance(upstreams, dict) else upstreams
        held = sum(view["streams"] for view in views)
        return {"streams": found["streams"], "waiting": found["waiting"], "upstream_streams": held}

    async def settled(self) -> None:
        """Wait until nothing is held for anybody; fail if something is for too long."""

        async def nothing_held() -> bool:
            return not any((await self.status()).values())

        await eventually(nothing_held, "a slot or an upstream's place leaked")

    def pids(self) -> list[int]:
        """The gateway's processes, its nginx included."""
        found = [self.process.popen.pid]
        for pid in found:
            # A process is the child of the thread that started it.
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    found += map(int, children.read_text(encoding="ascii").split())
        return found

    def memory(self) -> dict[str, int]:
        """Bytes of memory, shared pages by their share, of the workers and of nginx."""
        sizes = {"workers": 0, "nginx": 0, "other": 0}
        for pid in self.pids():
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes()
                kind = "nginx" if command.startswith(b"nginx") else "other"
                kind = "workers" if b"worker\0" in command else kind
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
                sizes[kind] += int(re.findall(r"^Pss: +(\d+) kB", rollup, re.MULTILINE)[0]) * 1024
        return sizes

    def descriptors(self) -> int:
        """How many files and sockets all of them have open."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return total


async def eventually(
    condition: Callable[[], Any], otherwise: str, *, seconds: float = SETTLE_SECONDS
) -> None:
    """Wait for an asynchronous condition; fail with `otherwise` when it does not come."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, otherwise
        await asyncio.sleep(0.01)


async def kill(gateway: RunningGateway, worker: int) -> None:
    """Kill a worker, and wait for the next one."""
    status = await asyncio.to_thread(fetch, f"{gateway.admin_url}/status")
    killed = status["workers"][worker]["pid"]
    os.kill(killed, signal.SIGKILL)

    async def restarted() -> bool:
        status = await asyncio.to_thread(fetch, f"{gateway.admin_url}/status")
        now = status["workers"][worker]
        return now["state"] == "ready" and now["pid"] not in {None, killed}

    await eventually(restarted, "it was not started again")


def fetch(url: str) -> dict[str, Any]:
    """A JSON document; `unix:PATH` asks a worker for its status on that socket."""
    if url.startswith("unix:"):
        return _fetch_status(url.removeprefix("unix:"))
    with urllib.request.urlopen(url, timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _fetch_status(path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("localhost", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(connection):
        connection.sock.settimeout(5)
        connection.sock.connect(path)
        connection.request("GET", "/internal/status")
        found: dict[str, Any] = json.load(connection.getresponse())
    return found


@contextmanager
def upstream() -> Iterator[Upstream]:
    """The demo upstream, as fast as it can."""
    port = free_port()
    command = ["demo", "--port", str(port), "--ttft", "0", "--rate", "0", "--tokens", "32"]
    with _running(command, f"http://127.0.0.1:{port}", {}, "/healthz") as process:
        yield Upstream(process)


@contextmanager
def worker(
    behind: Upstream, *, name: str = "worker", descriptors: int = 0, **settings: Any
) -> Iterator[RunningGateway]:
    """`sluice worker` in front of an upstream; with so many descriptors, if that is said."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = ["worker", "--host", "127.0.0.1", "--port", str(port)]
    with tempfile.TemporaryDirectory() as folder:
        status_socket = f"{folder}/status.sock"
        environment = {**_environment(behind, settings), STATUS_SOCKET: status_socket}
        program = "tests.integration.faults.observed_worker"
        with _running(command, url, environment, "/readyz", program, descriptors) as process:
            yield RunningGateway(name, process, behind, f"unix:{status_socket}", "")


@contextmanager
def appliance(
    behind: Upstream, *, workers: int = 1, descriptors: int = 0, **settings: Any
) -> Iterator[RunningGateway]:
    """`sluice run` in front of an upstream: nginx and so many workers.

    Each process has so many descriptors, if that is said.
    """
    port, admin = free_port(), free_port()
    given = {
        "listen_address": "127.0.0.1",
        "listen_port": port,
        "admin_address": "127.0.0.1",
        "admin_port": admin,
        "workers": workers,
        **settings,
    }
    admin_url = f"http://127.0.0.1:{admin}"
    with _running(
        ["run"],
        f"http://127.0.0.1:{port}",
        _environment(behind, given),
        f"{admin_url}/readyz",
        descriptors=descriptors,
    ) as process:
        yield RunningGateway("nginx", process, behind, f"{admin_url}/status", admin_url)


def _environment(behind: Upstream, settings: dict[str, Any]) -> dict[str, str]:
    # A store that a busy machine keeps from running is no store that is away.
    settings = {"store_timeout_seconds": 5, **settings}
    if "upstreams" not in settings:
        settings = {"upstream_url": f"{behind.url}/v1", **settings}
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in settings.items()
    }
    return {f"SLUICE_{name.upper()}": text for name, text in texts.items()}


@contextmanager
def _running(
    command: list[str],
    url: str,
    environment: dict[str, str],
    ready: str,
    program: str = "proxy",
    descriptors: int = 0,
) -> Iterator[Process]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("SLUICE_")}
    limit = ["prlimit", f"--nofile={descriptors}:{descriptors}"] if descriptors else []
    popen = subprocess.Popen(
        [*limit, sys.executable, "-m", program, *command],
        env=clean | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=_ROOT,
    )
    process = Process(popen, url)
    reading = threading.Thread(target=process.read, daemon=True)
    reading.start()
    try:
        _wait_until_it_answers(process, ready if ready.startswith("http") else url + ready)
        yield process
    finally:
        popen.send_signal(signal.SIGTERM)
        try:
            popen.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()
        reading.join(_STOP_SECONDS)
        assert popen.stdout is not None
        popen.stdout.close()


def _wait_until_it_answers(process: Process, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
            if answer.status == 200:
                return
        said = "\n".join(process.lines)
        assert process.popen.poll() is None, f"it ended at its start:\n{said}"
        assert time.monotonic() < deadline, f"it does not answer:\n{said}"
        time.sleep(0.01)
