"""nginx as the appliance sets it up, in front of a worker that runs inside the test."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

from proxy.appliance import descriptors, nginx, nginx_config, nginx_program
from proxy.appliance.directory import RunDirectory, run_directory
from proxy.settings import Settings

START_SECONDS = 10.0
# Below where the kernel takes the ports of outgoing connections from (ip(7)): a port that is free
# now must still be free when the program that was told of it listens.
_PORTS = range(12_000, 32_000)


def free_port() -> int:
    """A port of the loopback address that nobody uses."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@asynccontextmanager
async def nginx_before(settings: dict[str, Any]) -> AsyncIterator[tuple[Settings, RunDirectory]]:
    """Start nginx by these settings, with one worker at the run directory's first socket.

    It serves as soon as somebody listens there; nginx itself does already.
    """
    told = Settings(
        **settings, workers=1, listen_address="127.0.0.1", listen_port=free_port(), admin_port=1
    )
    stack = contextlib.ExitStack()
    try:
        run = await asyncio.to_thread(_rendered, told, stack)
        process = await asyncio.to_thread(_started, run, stack)
        await listening(told.listen_port, process)
        yield told, run
    finally:
        await asyncio.to_thread(stack.close)


async def listening(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a program listens."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            assert process.poll() is None, "it ended at its start"
            await asyncio.sleep(0.005)


def log_of(run: RunDirectory) -> Path:
    """What nginx wrote, access log and complaints."""
    return run.path / "nginx.log"


def _rendered(settings: Settings, stack: contextlib.ExitStack) -> RunDirectory:
    run = stack.enter_context(run_directory())
    sizes = descriptors.fit(500, 500, hard_limit=8192, somaxconn=4096)
    values = nginx_config.values_for(settings, run=run, program=_program(), sizes=sizes)
    nginx_config.render(values, run.nginx_conf.parent)
    return run


def _started(run: RunDirectory, stack: contextlib.ExitStack) -> subprocess.Popen[bytes]:
    recipe = nginx.recipe(_program(), run)
    with log_of(run).open("wb") as log:
        process = subprocess.Popen(
            recipe.command, stdout=log, stderr=log, env=dict(recipe.environment or {})
        )
    stack.callback(process.wait)
    stack.callback(process.terminate)
    return process


@cache
def _program() -> nginx_program.NginxProgram:
    return nginx_program.find()
