"""nginx as the appliance configures it, in front of a worker inside the test's process."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxy.appliance import nginx, nginx_config, nginx_program, nginx_sizing
from proxy.appliance.run_directory import RunDirectory, run_directory
from proxy.settings import Settings
from tests.fixtures.ports import free_port

START_SECONDS = 10.0
_READ_BY_NGINX = (
    "header_timeout_seconds",
    "body_timeout_seconds",
    "cors_origins",
    "cors_credentials",
    "max_body_bytes",
    "playground",
    "trusted_proxies",
)
# As before an upstream that is not the demo: no upstream is named to this nginx.
_UNLESS_ASKED = {"playground": "off"}


@dataclass(frozen=True)
class Nginx:
    """A running nginx, for one worker that listens on the first socket of its run directory."""

    settings: Settings
    run: RunDirectory
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The public URL."""
        return f"http://127.0.0.1:{self.settings.listen_port}"

    @property
    def log(self) -> Path:
        """Its output: access log and error log."""
        return _log(self.run)


class NginxInstances:
    """The running nginx instances, one for each set of settings that nginx reads."""

    def __init__(self) -> None:
        self._running: dict[tuple[Any, ...], Nginx] = {}
        self._stack = contextlib.ExitStack()

    async def get(self, settings: dict[str, Any]) -> Nginx:
        """Return an instance for these settings; its worker's socket may be bound later."""
        settings = _UNLESS_ASKED | settings
        read = tuple(settings.get(name) for name in _READ_BY_NGINX)
        if read not in self._running:
            instance = await asyncio.to_thread(
                self._start, dict(zip(_READ_BY_NGINX, read, strict=True))
            )
            await listening(instance.settings.listen_port, instance.process)
            self._running[read] = instance
        return self._running[read]

    def close(self) -> None:
        """Stop all of them."""
        self._stack.close()

    def _start(self, given: dict[str, Any]) -> Nginx:
        settings = Settings(
            **{name: value for name, value in given.items() if value is not None},
            workers=1,
            listen_address="127.0.0.1",
            listen_port=free_port(),
            admin_port=1,
        )
        run = self._stack.enter_context(run_directory())
        sizes = nginx_sizing.fit(500, 500, processes=1, hard_limit=8192, somaxconn=4096)
        program = nginx_program.find()
        values = nginx_config.values_for(settings, run=run, program=program, sizes=sizes)
        nginx_config.render(values, run.nginx_conf.parent)
        spec = nginx.process_spec(program, run)
        with _log(run).open("wb") as log:
            process = subprocess.Popen(
                spec.command, stdout=log, stderr=log, env=dict(spec.environment or {})
            )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        return Nginx(settings, run, process)


async def listening(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a port is listened on."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            assert process.poll() is None, "it ended at its start"
            await asyncio.sleep(0.005)


def _log(run: RunDirectory) -> Path:
    return run.path / "nginx.log"
