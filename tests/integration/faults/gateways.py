"""Gateways in processes of their own, as operators run them: a worker alone, and the appliance."""

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

from tests.fixtures.polling import pause_after
from tests.fixtures.ports import free_port
from tests.integration.faults.observed_worker import STATUS_SOCKET

START_SECONDS = 40.0
SETTLE_SECONDS = 30.0
_STOP_SECONDS = 20.0
_ROOT = Path(__file__).parents[3]


@dataclass
class Process:
    """A running server program and the lines of its output."""

    popen: subprocess.Popen[bytes]
    url: str
    # Not in the repr, which asyncio makes of each finished fixture's task: lines are thousands.
    lines: list[str] = field(default_factory=list, repr=False)
    ended: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    """The log line of each finished request, by its id."""

    def read(self) -> None:
        """Read lines until the program closes its output."""
        assert self.popen.stdout is not None
        for raw in self.popen.stdout:
            line = raw.decode(errors="replace").rstrip()
            self.lines.append(line)
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, dict) and "ended_by" in entry:
                    self.ended[entry["request_id"]] = entry


@dataclass(frozen=True)
class Upstream:
    """The demo upstream in a process of its own."""

    process: Process

    @property
    def url(self) -> str:
        """The URL at which it listens."""
        return self.process.url

    async def calls(self, run: str) -> list[dict[str, Any]]:
        """Return the recorded calls of one run; see `proxy.demo.recorded_calls.RecordedCall`."""
        state = await asyncio.to_thread(fetch, f"{self.url}/demo/state?run={run}")
        return list(state["calls"])

    async def over(self, run: str) -> list[dict[str, Any]]:
        """Return them once all have ended."""
        calls: list[dict[str, Any]] = []

        async def all_over() -> bool:
            calls[:] = await self.calls(run)
            return all(call["ended_by"] for call in calls)

        await eventually(all_over, "an upstream call has not ended")
        return calls


@dataclass(frozen=True)
class RunningGateway:
    """A running gateway with its output, status and metrics."""

    name: str
    process: Process
    upstream: Upstream
    status_url: str
    admin_url: str

    @property
    def url(self) -> str:
        """The public URL."""
        return self.process.url

    async def outcome(self, request_id: str) -> dict[str, Any]:
        """Wait for the log line of a request, and return it."""

        async def logged() -> bool:
            return request_id in self.process.ended

        await eventually(logged, f"no log line of {request_id}")
        return self.process.ended[request_id]

    async def status(self) -> dict[str, Any]:
        """Return the running, the waiting and the upstreams' streams, summed over all workers."""
        status = await asyncio.to_thread(fetch, self.status_url)
        upstreams = status["upstreams"]
        views = upstreams.values() if isinstance(upstreams, dict) else upstreams
        used = sum(view["streams"] for view in views)
        return {
            "streams": status["streams"],
            "waiting": status["waiting"],
            "upstream_streams": used,
        }

    async def settled(self) -> None:
        """Wait until no slot and no upstream connection is in use; fail if one stays in use."""

        async def nothing_held() -> bool:
            return not any((await self.status()).values())

        await eventually(nothing_held, "a slot or a stream of an upstream leaked")

    def pids(self) -> list[int]:
        """Return the ids of the gateway's processes, nginx included."""
        pids = [self.process.popen.pid]
        for pid in pids:
            # A process is the child of the thread that started it.
            for children in Path(f"/proc/{pid}/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    pids += map(int, children.read_text(encoding="ascii").split())
        return pids

    def memory(self) -> dict[str, int]:
        """Return the proportional set size, in bytes, of the workers, of nginx and of the rest."""
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
        """Count the open descriptors of all its processes."""
        total = 0
        for pid in self.pids():
            with contextlib.suppress(OSError):
                total += len(list(Path(f"/proc/{pid}/fd").iterdir()))
        return total


async def eventually(
    condition: Callable[[], Any], otherwise: str, *, seconds: float = SETTLE_SECONDS
) -> None:
    """Wait until an asynchronous condition is true; fail with `otherwise` after `seconds`."""
    began = time.monotonic()
    while not await condition():
        waited = time.monotonic() - began
        assert waited < seconds, otherwise
        await asyncio.sleep(pause_after(waited))


async def kill(gateway: RunningGateway, worker: int) -> None:
    """Kill a worker, and wait until its replacement is ready."""
    status = await asyncio.to_thread(fetch, f"{gateway.admin_url}/status")
    killed = status["workers"][worker]["pid"]
    os.kill(killed, signal.SIGKILL)

    async def restarted() -> bool:
        status = await asyncio.to_thread(fetch, f"{gateway.admin_url}/status")
        now = status["workers"][worker]
        return now["state"] == "ready" and now["pid"] not in {None, killed}

    await eventually(restarted, "the worker was not restarted")


def fetch(url: str) -> dict[str, Any]:
    """Fetch a JSON document; `unix:PATH` fetches a worker's status from that socket."""
    if url.startswith("unix:"):
        return _fetch_status(url.removeprefix("unix:"))
    with urllib.request.urlopen(url, timeout=5) as answer:
        document: dict[str, Any] = json.load(answer)
    return document


def _fetch_status(path: str) -> dict[str, Any]:
    connection = http.client.HTTPConnection("localhost", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    with contextlib.closing(connection):
        connection.sock.settimeout(5)
        connection.sock.connect(path)
        connection.request("GET", "/internal/status")
        document: dict[str, Any] = json.load(connection.getresponse())
    return document


@contextmanager
def upstream() -> Iterator[Upstream]:
    """Run the demo upstream without delays."""
    port = free_port()
    command = ["demo", "--port", str(port), "--ttft", "0", "--rate", "0", "--tokens", "32"]
    with _running(command, f"http://127.0.0.1:{port}", {}, "/healthz") as process:
        yield Upstream(process)


@contextmanager
def worker(
    behind: Upstream, *, name: str = "worker", descriptors: int = 0, **settings: Any
) -> Iterator[RunningGateway]:
    """Run `sluice worker` in front of an upstream; `descriptors` limits its descriptors."""
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
    """Run `sluice run` in front of an upstream: nginx and so many workers.

    `descriptors` limits the descriptors of each process.
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
        says="Sluice is ready",
    ) as process:
        yield RunningGateway("nginx", process, behind, f"{admin_url}/status", admin_url)


def _environment(behind: Upstream, settings: dict[str, Any]) -> dict[str, str]:
    # On a busy machine the store may be late; it must not count as unavailable.
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
    says: str = "",
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
        _wait_until_it_answers(process, ready if ready.startswith("http") else url + ready, says)
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


def _wait_until_it_answers(process: Process, url: str, says: str) -> None:
    """Wait until it has written `says`, without asking it meanwhile, and answers."""
    began = time.monotonic()
    while not (_has_said(process, says) and _answers(url)):
        waited = time.monotonic() - began
        output = "\n".join(process.lines)
        assert process.popen.poll() is None, f"it ended at its start:\n{output}"
        assert waited < START_SECONDS, f"it does not answer:\n{output}"
        time.sleep(pause_after(waited))


def _has_said(process: Process, words: str) -> bool:
    return not words or any(words in line for line in list(process.lines))


def _answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1) as answer:
        return bool(answer.status == 200)
    return False
