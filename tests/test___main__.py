from __future__ import annotations

import gc
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.__main__ import main
from proxy.appliance import supervisor
from proxy.version import VERSION
from tests.fixtures.ports import free_port

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
LOOPBACK = "127.0.0.1"


def sluice(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "proxy", *arguments],
        env=ENVIRONMENT | settings,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def free() -> dict[str, str]:
    """Ports that nobody listens on."""
    names = ("SLUICE_LISTEN_PORT", "SLUICE_ADMIN_PORT", "SLUICE_TLS_PORT")
    return {name: str(free_port()) for name in names}


def test_check_prints_the_effective_settings() -> None:
    """JSON on stdout, secrets masked, exit status 0."""
    done = sluice("check", SLUICE_UPSTREAM_API_KEY="sk-secret", SLUICE_WORKERS="3", **free())
    assert done.returncode == 0
    assert "sk-secret" not in done.stdout
    assert json.loads(done.stdout)["SLUICE_WORKERS"] == 3


def test_check_finds_what_run_would_trip_over(tmp_path: Path) -> None:
    """Each is said once and names its setting; the exit status is that of wrong settings."""
    absent = str(tmp_path / "absent")
    files = ("SLUICE_TLS_CERTIFICATE", "SLUICE_TLS_CLIENT_CA", "SLUICE_UPSTREAM_CA")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        own = {"SLUICE_TLS_KEY": absent, "SLUICE_PRICES": absent, "SLUICE_ADMIN_ADDRESS": LOOPBACK}
        given = free() | own | dict.fromkeys(files, absent) | {"SLUICE_ADMIN_PORT": port}
        done = sluice("check", **given)
    assert done.returncode == 2
    for name in (*files, "SLUICE_PRICES", "SLUICE_ADMIN_PORT"):
        assert done.stderr.count(f"{name}: ") == 1
    assert "Traceback" not in done.stderr


def test_check_warns_of_a_store_that_is_away() -> None:
    """Sluice starts without it, so it is no mistake; the password is not told."""
    url = f"redis://:secret@{LOOPBACK}:{free_port()}"
    done = sluice("check", SLUICE_STORE_URL=url, **free())
    assert done.returncode == 0
    assert done.stderr.count("warning: SLUICE_STORE_URL: ") == 1
    assert "secret" not in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["check", "run", "worker"])
def test_wrong_settings_end_every_command_with_status_2(command: str) -> None:
    """A line for each mistake on stderr, and nothing is started."""
    done = sluice(command, SLUICE_WORKERS="none", SLUICE_LISTEN_PROT="1")
    assert done.returncode == 2
    assert "SLUICE_LISTEN_PROT is no setting; the nearest is SLUICE_LISTEN_PORT." in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_supervisor_collects_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    """As does this process after a command that has ended; only the start is without."""
    monkeypatch.setattr(supervisor, "run", lambda _settings: 7 if gc.isenabled() else 1)
    monkeypatch.setenv("SLUICE_UPSTREAM_URL", "http://127.0.0.1:9/v1")
    assert main(["run"]) == 7
    monkeypatch.setenv("SLUICE_WORKERS", "none")
    assert main(["run"]) == 2
    assert gc.isenabled()


def test_without_a_command_it_says_which_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    """Usage and status 2; `--help` lists all commands."""
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 2
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("run", "worker", "demo", "check", "selftest", "top"))


@pytest.mark.parametrize("command", ["run", "worker", "demo", "check", "selftest", "top"])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each has a help text of its own."""
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"sluice {command}" in capsys.readouterr().out


def test_selftest_of_nobody_fails_in_one_line() -> None:
    """The exit status is for scripts, the line for people."""
    done = sluice("selftest", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stdout.startswith("No timed events")


def test_a_command_loads_only_what_it_needs() -> None:
    """The supervisor starts its workers before anybody has loaded an HTTP server for it."""
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import proxy.appliance.supervisor"],
        env=ENVIRONMENT,
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    loaded = set(re.findall(r"\| +([\w.]+)$", shown, re.MULTILINE))
    assert "asyncio" in loaded
    assert not loaded & {"aiohttp", "uvloop", "prometheus_client", "proxy.edge", "proxy.demo"}


def test_version_names_the_version() -> None:
    """For a report, and for whoever wonders what runs."""
    done = sluice("--version")
    assert (done.returncode, done.stdout) == (0, f"sluice {VERSION}\n")


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    """`sluice check | head` ends without a traceback."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "proxy", "check"],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 141
