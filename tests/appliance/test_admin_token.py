"""`SLUICE_ADMIN_TOKEN`: what is closed by it, who has it, and what is said where there is none."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from proxy.appliance.admin import Admin
from tests.appliance.running import Running, wait_until
from tests.appliance.test_admin import Scripted
from tests.fixtures.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

TOKEN = "t0ken"
OPEN = {"/healthz", "/readyz"}
WRONG = [
    {},
    {"Authorization": TOKEN},
    {"Authorization": f"Token {TOKEN}"},
    {"Authorization": f"Bearer{TOKEN}"},
    {"Authorization": f"Bearer {TOKEN} {TOKEN}"},
    {"Authorization": "Basic " + base64.b64encode(f"{TOKEN}:".encode()).decode()},
    {"X-Api-Key": TOKEN},
    {"Cookie": f"token={TOKEN}"},
]
RIGHT = [
    {"Authorization": f"Bearer {TOKEN}"},
    {"Authorization": "Basic " + base64.b64encode(f"any:{TOKEN}".encode()).decode()},
]


@pytest.fixture
async def client() -> AsyncIterator[tuple[httpx.AsyncClient, list[str]]]:
    """A client of an admin port with a token, and all routes that it has."""
    admin, port = Admin(Scripted(), token=TOKEN), free_port()
    await admin.start("127.0.0.1", port)
    resources = admin._runner.app.router.resources()
    routes = [resource.canonical.replace("{name}", "page.js") for resource in resources]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as opened:
        yield opened, routes
    await admin.close()


async def test_every_route_asks_for_it(client: tuple[httpx.AsyncClient, list[str]]) -> None:
    """By whatever method, one that is added too; in a query or another field it is not shown."""
    ask, routes = client
    assert {"/metrics", "/status", "/", "/page/page.js"} <= set(routes)
    for path in {*routes, "/nowhere"} - OPEN:
        for headers in WRONG:
            for query in ("", f"?token={TOKEN}&access_token={TOKEN}"):
                for method in ("GET", "HEAD", "POST", "OPTIONS"):
                    answer = await ask.request(method, path + query, headers=headers)
                    assert answer.status_code == 401, (method, path, query, headers)
                    assert TOKEN not in answer.text
        for headers in RIGHT:
            answer = await ask.get(path, headers=headers)
            assert answer.status_code == (404 if path == "/nowhere" else 200), (path, headers)
    for path in OPEN:
        assert (await ask.get(path)).status_code == 200


async def test_a_page_of_another_origin_is_refused_with_it_too(
    client: tuple[httpx.AsyncClient, list[str]],
) -> None:
    """A browser would send the password that its user once typed (RFC 7617, 2.2)."""
    ask, routes = client
    for path in set(routes) - OPEN:
        for foreign in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            for headers in RIGHT:
                answer = await ask.get(path, headers=headers | foreign)
                assert answer.status_code == 403
                assert "access-control-allow-origin" not in answer.headers


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Path]]:
    """A supervisor whose token stands in the file of its settings, and that file."""
    folder = tmp_path_factory.mktemp("guarded")
    file = folder / "sluice.toml"
    file.write_text(f'admin_token = "{TOKEN}"\n')
    with Running(folder, SLUICE_CONFIG=str(file)) as running:
        yield running.ready(), file


def command(running: Running, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        env=settings | {"SLUICE_ADMIN_PORT": str(running.admin_port)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


async def test_commands_beside_it_show_it(guarded: tuple[Running, Path]) -> None:
    """From wherever it is set; without it they say what is missing."""
    running, file = guarded
    url = f"http://127.0.0.1:{running.admin_port}"
    ways: tuple[dict[str, str], ...] = (
        {"SLUICE_CONFIG": str(file)},
        {"SLUICE_ADMIN_TOKEN": TOKEN},
        {},
    )
    given, own, without = await asyncio.gather(
        *(asyncio.to_thread(command, running, "top", "--once", url, **way) for way in ways)
    )
    assert (given.returncode, own.returncode, without.returncode) == (0, 0, 1)
    assert "ready" in given.stdout
    assert "SLUICE_ADMIN_TOKEN" in without.stderr
    keys = '[{"name": "web", "key": "s-1", "requests_per_minute": 60}]'
    completed = await asyncio.to_thread(
        command, running, "keys", "list", SLUICE_KEYS=keys, SLUICE_CONFIG=str(file)
    )
    assert completed.returncode == 0
    assert "is unknown" not in completed.stderr
    assert TOKEN not in running.out + running.err


def test_with_it_nothing_is_called_open(guarded: tuple[Running, Path]) -> None:
    """Neither in the log nor to those who only want to know whether it serves."""
    running, _ = guarded
    assert not running.logged("admin_port_open")
    assert running.get("/readyz", admin=True)[0] == 200
    assert running.get("/status", admin=True)[0] == 401


@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1"])
def test_without_it_beyond_this_machine_that_is_said_loudly(tmp_path: Path, address: str) -> None:
    """A warning that names the three ways out; this machine alone needs none."""
    with Running(tmp_path, SLUICE_ADMIN_ADDRESS=address) as running:
        running.ready()
        if address == "127.0.0.1":
            assert not running.logged("admin_port_open")
            return
        wait_until(lambda: running.logged("admin_port_open"), "the warning")
        (line,) = running.logged("admin_port_open")
    assert line["level"] == "warning"
    assert "SLUICE_ADMIN_TOKEN" in line["advice"]
    assert "SLUICE_ADMIN_ADDRESS" in line["advice"]
