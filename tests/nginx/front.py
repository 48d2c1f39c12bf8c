"""A real nginx with Sluice's configuration, in front of workers that a test scripts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from proxy.appliance import nginx, nginx_config, nginx_program, nginx_sizing
from proxy.appliance.nginx_log_parser import access_fields
from proxy.appliance.run_directory import RunDirectory, run_directory
from proxy.settings import Settings
from tests.fixtures.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from proxy.appliance.child import ProcessSpec
    from proxy.appliance.nginx_program import NginxProgram

DEADLINE = 20.0


def programs() -> list[NginxProgram]:
    """Every nginx that this machine has; `TEST_NGINX` names more, separated by colons."""
    extra = filter(None, os.environ.get("TEST_NGINX", "").split(os.pathsep))
    paths = dict.fromkeys([*nginx_program.candidates(), *extra])
    return [
        nginx_program.NginxProgram(path, nginx_program.version_of(path))
        for path in paths
        if os.access(path, os.X_OK)
    ]


@dataclass
class Heard:
    """One request as it reached a worker."""

    head: str
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def line(self) -> str:
        """The request line."""
        return self.head.split("\r\n", 1)[0]

    @property
    def headers(self) -> dict[str, str]:
        """The header fields, their names in lower case; the last one counts."""
        pairs = (line.split(": ", 1) for line in self.head.split("\r\n")[1:] if ": " in line)
        return {name.lower(): value for name, value in pairs}

    async def say(self, text: str) -> None:
        """Send something back."""
        self.writer.write(text.encode())
        await self.writer.drain()

    async def chunk(self, text: str) -> None:
        """Send one chunk of a chunked body."""
        await self.say(f"{len(text):x}\r\n{text}\r\n")

    async def left(self) -> None:
        """Wait until nginx has closed the connection."""
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(ConnectionError):
                while await self.reader.read(65536):
                    pass


EVENTS = (
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    "X-Request-ID: of-the-worker\r\n"
)


def plain(body: str = "{}", *, status: str = "200 OK", more: str = "") -> str:
    """A whole JSON answer of a worker."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        f"X-Request-ID: of-the-worker\r\n{more}\r\n{body}"
    )


async def _says_ok(heard: Heard) -> None:
    await heard.say(plain())


class ScriptedWorker:
    """Listens where a worker would, and runs a script for each request."""

    def __init__(self, path: Path, script: Callable[[Heard], Awaitable[None]] = _says_ok) -> None:
        self.path = path
        self.script = script
        self.heard: list[Heard] = []
        self.arrived = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_unix_server(self._serve, self.path)
        # nginx runs as nobody when the tests run as root.
        self.path.chmod(0o666)

    async def arrival(self) -> None:
        """Wait for the first request."""
        async with asyncio.timeout(DEADLINE):
            await self.arrived.wait()

    async def stop(self) -> None:
        """Stop listening, as a dead worker does: its socket stays and refuses."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                while True:
                    head = await reader.readuntil(b"\r\n\r\n")
                    self.heard.append(Heard(head.decode("latin-1"), reader, writer))
                    self.arrived.set()
                    await self.script(self.heard[-1])
        finally:
            self._tasks.discard(task)
            writer.close()


class Front:
    """nginx with rendered files; `async with` starts and ends it and its workers."""

    def __init__(
        self, program: NginxProgram, *, values: Mapping[str, str] | None = None, **settings: Any
    ) -> None:
        self.program = program
        self.port = free_port()
        self.tls_port = free_port()
        given = {"workers": 1, "listen_address": "127.0.0.1", **settings}
        self.settings = Settings(
            listen_port=self.port, tls_port=self.tls_port, admin_port=1, **given
        )
        self._values = dict(values or {})
        self._stack = contextlib.ExitStack()
        self.workers: list[ScriptedWorker] = []

    @property
    def run(self) -> RunDirectory:
        """Its run directory."""
        return self._run

    @property
    def worker(self) -> ScriptedWorker:
        """The only worker."""
        (only,) = self.workers
        return only

    def render(self) -> None:
        """Make the run directory and the files in it."""
        self._run = self._stack.enter_context(run_directory())
        processes = self.settings.nginx_workers or 1
        sizes = nginx_sizing.fit(100, 100, processes=processes, hard_limit=4096, somaxconn=4096)
        values = nginx_config.values_for(
            self.settings, run=self._run, program=self.program, sizes=sizes
        )
        nginx_config.render(values | self._values, self._run.nginx_conf.parent)

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.render)
        for index in range(self.settings.workers):
            self.workers.append(ScriptedWorker(self._run.worker_socket(index)))
            await self.workers[-1].start()
        spec = nginx.process_spec(self.program, self._run)
        self._log = (self._run.path / "access.log").open("w+b")
        self._stack.enter_context(self._log)
        self._errors = (self._run.path / "error.log").open("w+b")
        self._stack.enter_context(self._errors)
        self._process = await asyncio.to_thread(self._start, spec)
        await self._listening()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()
        for worker in self.workers:
            await worker.stop()
        await asyncio.to_thread(self._stack.close)

    def _start(self, spec: ProcessSpec) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            spec.command,
            stdout=self._log,
            stderr=self._errors,
            env=dict(spec.environment or {}),
        )

    async def _listening(self) -> None:
        # nginx listens on one port after the other.
        await self._listening_on(self.port)
        if self.settings.tls_certificate is not None:
            await self._listening_on(self.tls_port)

    async def _listening_on(self, port: int) -> None:
        async with asyncio.timeout(DEADLINE):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    return
                assert self._process.poll() is None, self._errors.name
                await asyncio.sleep(0.005)

    async def connect(self) -> Wire:
        """A bare client connection."""
        return Wire(*await asyncio.open_connection("127.0.0.1", self.port))

    async def get(self, path: str = "/v1/x", *fields: str, method: str = "GET") -> Got:
        """One bodiless request, and its whole answer."""
        lines = (f"{method} {path} HTTP/1.1", "Host: sluice.example", "Connection: close", *fields)
        return await self.send("\r\n".join(lines) + "\r\n\r\n")

    async def send(self, text: str) -> Got:
        """Any bytes, and whatever comes back until the connection ends."""
        wire = await self.connect()
        await wire.say(text)
        return await wire.rest()

    async def access_log(self) -> list[dict[str, Any]]:
        """The access log; nginx ends, which writes out what it still held."""
        await self._stop()
        text = await asyncio.to_thread((self._run.path / "access.log").read_bytes)
        lines = [fields for line in text.splitlines() if (fields := access_fields(line))]
        return [fields for fields in lines if fields["listed"]]

    async def _stop(self) -> None:
        self._process.terminate()
        await asyncio.to_thread(self._process.wait, DEADLINE)


@dataclass
class Got:
    """An answer as it came over the wire."""

    raw: str

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.raw.split(" ", 2)[1])

    @property
    def head(self) -> str:
        """Status line and headers."""
        return self.raw.partition("\r\n\r\n")[0]

    @property
    def body(self) -> str:
        """All after the headers, chunks still in their frames."""
        return self.raw.partition("\r\n\r\n")[2]

    def all(self, name: str) -> list[str]:
        """Every value of a header."""
        pairs = (line.split(": ", 1) for line in self.head.split("\r\n")[1:])
        return [value for key, value in pairs if key.lower() == name.lower()]

    def one(self, name: str) -> str:
        """The value of a header that must be there exactly once."""
        (value,) = self.all(name)
        return value

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass
class Wire:
    """A client's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def say(self, text: str) -> None:
        """Send something."""
        with contextlib.suppress(ConnectionError):
            self.writer.write(text.encode("latin-1"))
            await self.writer.drain()

    async def until(self, mark: str) -> str:
        """Everything up to a mark."""
        async with asyncio.timeout(DEADLINE):
            return (await self.reader.readuntil(mark.encode())).decode("latin-1")

    async def rest(self) -> Got:
        """Everything until the connection ends, however it ends."""
        parts = []
        async with asyncio.timeout(DEADLINE):
            with contextlib.suppress(ConnectionError):
                while part := await self.reader.read(65536):
                    parts.append(part)
        self.writer.close()
        return Got(b"".join(parts).decode("latin-1"))

    def leave(self) -> None:
        """Close at once."""
        self.writer.close()
