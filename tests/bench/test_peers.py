from __future__ import annotations

from pathlib import Path

import pytest

from bench.contestants.contestant import PEERS_VARIABLE, AbsentError, Contestant, Source
from bench.contestants.everybody import by_name
from bench.peers import commands, install


def peer(source: Source, found: list[str]) -> Contestant:
    """A contestant of this source, there if a version was found."""

    def find() -> str:
        if not found:
            raise AbsentError("not there")
        return found[0]

    return Contestant("peer", "Peer", "None.", find, lambda _: None, source)


def test_a_peer_from_pypi(tmp_path: Path) -> None:
    """It gets a virtual environment of its own."""
    make, fill = commands(by_name(["litellm"])[0], tmp_path)
    assert make[1:] == ["-m", "venv", str(tmp_path / "venv")]
    assert fill[0] == str(tmp_path / "venv" / "bin" / "python")
    assert "litellm[proxy]" in fill


def test_a_peer_from_npm(tmp_path: Path) -> None:
    """It gets a prefix of its own."""
    (command,) = commands(by_name(["portkey"])[0], tmp_path)
    assert command[:2] == ["npm", "install"]
    assert str(tmp_path) in command


def test_a_peer_from_the_distribution(tmp_path: Path) -> None:
    """No question is asked."""
    (command,) = commands(by_name(["haproxy"])[0], tmp_path)
    assert "--yes" in command


def test_a_peer_that_is_there_already() -> None:
    """Nothing is installed."""
    told: list[str] = []
    assert install([peer(Source("pip", ("x",)), ["1.0"])], told.append) == []
    assert told == ["peer: there already, 1.0"]


def test_a_peer_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named with its reason, and the others go on."""
    monkeypatch.setenv(PEERS_VARIABLE, str(tmp_path))
    monkeypatch.setattr("bench.peers.commands", lambda *_: [["sh", "-c", "echo gone; exit 1"]])
    told: list[str] = []
    assert install([peer(Source("pip", ("x",)), [])], told.append) == ["peer"]
    assert "not there" in told[-1]
    assert (tmp_path / "peer" / "install.log").read_text() == "gone\n"


def test_contestants_that_come_from_nowhere() -> None:
    """They are not the installer's business."""
    assert install([peer(Source(), [])], print) == []
