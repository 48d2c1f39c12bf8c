"""The image's health check finds the admin port wherever it is set."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SCRIPT = Path(__file__).parents[2] / "deploy" / "healthcheck.sh"


@pytest.fixture
async def admin() -> AsyncIterator[tuple[int, list[str]]]:
    """A port that answers with the status that stands in the list."""
    status = ["200 OK"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.0 {status[0]}\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1], status
    server.close()
    await server.wait_closed()


async def is_healthy(**environment: str) -> bool:
    process = await asyncio.create_subprocess_exec(
        "bash", SCRIPT, env=environment, stderr=asyncio.subprocess.DEVNULL
    )
    async with asyncio.timeout(20):
        return await process.wait() == 0


@pytest.mark.parametrize("way", ["environment", "file", "config"])
async def test_the_port_is_found(admin: tuple[int, list[str]], tmp_path: Path, way: str) -> None:
    """By the variable, by its file, or by the file of all settings; ready or not is the status."""
    port, status = admin
    file = tmp_path / "value"
    if way == "config":
        text = f'admin_address = "0.0.0.0"  # all\nadmin_port = {port}\n[[keys]]\nadmin_port = 1\n'
        file.write_text(text)
    else:
        file.write_text(f"{port}\n")
    given = {
        "environment": {"SLUICE_ADMIN_PORT": str(port), "SLUICE_ADMIN_ADDRESS": "::"},
        "file": {"SLUICE_ADMIN_PORT_FILE": str(file)},
        "config": {"SLUICE_CONFIG": str(file)},
    }[way]
    assert await is_healthy(**given)
    status[0] = "503 Service Unavailable"
    assert not await is_healthy(**given)


async def test_where_nobody_listens_it_is_not_healthy(tmp_path: Path) -> None:
    """Before the start, and when all is over."""
    config = tmp_path / "sluice.toml"
    config.write_text("admin_port = 1\n")
    assert not await is_healthy(SLUICE_CONFIG=str(config), SLUICE_ADMIN_ADDRESS="127.0.0.1")
