"""Runs the embedded store for a worker without a supervisor, and restarts it if it dies."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydantic import SecretStr

from proxy.appliance import pdeathsig, store_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.settings import Settings

_AGAIN_SECONDS = 1.0
_log = structlog.get_logger("store")


@contextmanager
def with_store(settings: Settings) -> Iterator[Settings]:
    """Yield settings with an embedded store's URL, if a store is needed and none is configured.

    Without a store program on this machine the settings are unchanged, and the worker logs at its
    start that limits are not checked. The store ends with the block, or with this process.
    """
    if not store_program.wanted(settings):
        yield settings
        return
    try:
        program = store_program.find()
    except store_program.NoStore as error:
        _log.warning("no_store", advice=str(error))
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="sluice-store-") as directory:
        socket = Path(directory) / "store.sock"
        command = store_program.command(program, socket, settings.store_memory_bytes)
        running = _Running(command)
        running.start()
        try:
            url = SecretStr(f"unix://{socket}")
            yield settings.model_copy(update={"store_url": url})
        finally:
            running.stop()


class _Running(threading.Thread):
    """Keeps a program running, in a thread, because it starts before the event loop."""

    def __init__(self, command: list[str]) -> None:
        super().__init__(name="store", daemon=True)
        # The kernel kills the program when this process dies.
        tie = (str(os.getpid()), str(int(signal.SIGKILL)), "0")
        self._command = [sys.executable, "-I", pdeathsig.__file__, *tie, *command]
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def run(self) -> None:
        """Start the program, and restart it when it ends, at most once a second."""
        while True:
            with self._lock:
                if self._stopping.is_set():
                    return
                self._process = subprocess.Popen(  # noqa: S603 a fixed program, no shell
                    self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
                )
            began = time.monotonic()
            status = self._process.wait()
            if self._stopping.wait(max(0.0, _AGAIN_SECONDS - (time.monotonic() - began))):
                return
            _log.warning("store_ended", status=status)

    def stop(self) -> None:
        """Stop the program."""
        with self._lock:
            self._stopping.set()
            if self._process is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
        self.join()
