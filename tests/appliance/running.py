"""A supervisor as operators run it: a process with settings, signals and an exit status."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.fixtures.polling import pause_after
from tests.fixtures.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE = 20.0
_DRIVE = Path(__file__).with_name("drive.py")


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Ask again and again until it is so; fail if it takes too long."""
    began = time.monotonic()
    while not condition():
        waited = time.monotonic() - began
        assert waited < DEADLINE, f"never came: {what}"
        time.sleep(pause_after(waited))


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie, which nobody has waited for yet, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def children_of(pid: int) -> list[int]:
    """All descendants of a process."""
    pids = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        # Whoever ends meanwhile has no children any more.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for child in map(int, task.read_text().split()):
                pids += [child, *children_of(child)]
    return pids


def commands_of(running: Running) -> str:
    """The command lines of all that a supervisor has started."""
    commands = []
    for pid in children_of(running.process.pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            commands.append(Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " "))
    return "\n".join(commands)


class Running:
    """A supervisor with stub workers; `with` starts it and leaves nothing behind."""

    def __init__(self, folder: Path, *command: str, **settings: str) -> None:
        self.port, self.admin_port = free_port(), free_port()
        self._out, self._err = folder / "out", folder / "err"
        self.output: int | None = None
        """Where all that it writes goes, in place of files; then `out`, `err` and `ready` know it
        not."""
        self._command = command or (str(_DRIVE),)
        own = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
        self._environment = own | {
            "SLUICE_LISTEN_ADDRESS": "127.0.0.1",
            "SLUICE_LISTEN_PORT": str(self.port),
            "SLUICE_ADMIN_PORT": str(self.admin_port),
            "SLUICE_UPSTREAM_URL": "http://127.0.0.1:9/v1",
            "SLUICE_WORKERS": "1",
            "SLUICE_DRAIN_SECONDS": "10",
            **settings,
        }

    def __enter__(self) -> Self:
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, *self._command],
                stdin=subprocess.DEVNULL,
                stdout=out if self.output is None else self.output,
                stderr=err if self.output is None else self.output,
                env={name: value for name, value in self._environment.items() if value},
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        left = children_of(self.process.pid)
        if "COVERAGE_PROCESS_CONFIG" in os.environ:
            self._end_in_order()
        self.process.kill()
        self.process.wait()
        wait_until(lambda: not any(map(alive, left)), "the end of all children")

    def _end_in_order(self) -> None:
        """By signals, the second without a drain: who is killed does not write what was reached."""
        for seconds in (0.5, 5.0):
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(seconds)

    @property
    def python(self) -> list[str]:
        """The Python that it runs on."""
        return [sys.executable]

    @property
    def out(self) -> str:
        """What it has written to stdout."""
        return self._out.read_text()

    @property
    def err(self) -> str:
        """What it has written to stderr: the log."""
        return self._err.read_text()

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log that tell of an event."""
        lines = (json.loads(line) for line in self.err.splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == event]

    def ready(self) -> Self:
        """Wait until it says so."""
        wait_until(
            lambda: "Sluice is ready" in self.out or self.process.poll() is not None, "ready"
        )
        assert self.process.poll() is None, self.err
        return self

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for its end, and give the exit status."""
        return self.process.wait(DEADLINE)

    def get(self, path: str, *, admin: bool = False) -> tuple[int, bytes]:
        """Status and body of one GET."""
        port = self.admin_port if admin else self.port
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as client:
            client.request("GET", path)
            answer = client.getresponse()
            return answer.status, answer.read()

    def status(self) -> dict[str, Any]:
        """What `/status` says."""
        document: dict[str, Any] = json.loads(self.get("/status", admin=True)[1])
        return document

    def refuses(self) -> bool:
        """Whether nobody listens on the public port any more."""
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0

    @contextlib.contextmanager
    def stream(self) -> Iterator[http.client.HTTPResponse]:
        """A stream that is held by its worker until `/v1/release`; its first event has come."""
        with contextlib.closing(
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        ) as client:
            client.request("GET", "/v1/held?events=1&then=hold")
            answer = client.getresponse()
            assert answer.readline() == b"data: 0\n"
            yield answer
