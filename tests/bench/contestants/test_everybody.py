from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest

from bench.contestants.contestant import BENCH, AbsentError, Contestant, Place
from bench.contestants.everybody import EVERYBODY, by_name
from bench.scenarios.all import SCENARIOS

NAMES = [contestant.name for contestant in EVERYBODY]


def place(directory: Path) -> Place:
    """An empty directory, and an upstream on port 18000."""
    return Place(directory, 18080, 18081, 18000, 2)


@pytest.mark.parametrize("contestant", EVERYBODY, ids=NAMES)
def test_a_contestant_s_declaration(contestant: Contestant) -> None:
    """It says how it is configured, and skips only scenarios that exist, each with a reason."""
    assert contestant.configuration.endswith(".")
    assert set(contestant.skips) <= {scenario.name for scenario in SCENARIOS}
    assert all(contestant.skips.values())


@pytest.mark.parametrize("contestant", EVERYBODY, ids=NAMES)
def test_a_contestant_s_launch(contestant: Contestant, tmp_path: Path) -> None:
    """Everything it writes stays in its directory, and it is pointed at the upstream."""
    try:
        launch = contestant.launch(place(tmp_path))
    except AbsentError as reason:
        pytest.skip(str(reason))
    if launch is None:
        assert contestant.name == "direct"
        return
    written = "".join(path.read_text() for path in tmp_path.iterdir())
    launched = written + " ".join(launch.command) + json.dumps([launch.environment, launch.headers])
    assert "18000" in launched


def test_everybody_stands_once() -> None:
    """No two contestants share a name, and bare nginx is among them."""
    assert len(set(NAMES)) == len(NAMES)
    assert "nginx" in NAMES


def test_an_unknown_name() -> None:
    """It is refused by name."""
    with pytest.raises(KeyError, match="kong"):
        by_name(["nginx", "kong"])


def test_the_naive_relay_s_length() -> None:
    """It is what its title says: thirty lines, comments and empty ones left out."""
    source = (BENCH / "contestants" / "naive_relay.py").read_text()
    code = ast.unparse(ast.parse(source)).splitlines()
    assert len([line for line in code if line.strip() and '"""' not in line]) <= 30


def test_bare_nginx_s_configuration(tmp_path: Path) -> None:
    """Nginx itself finds nothing wrong with it."""
    nginx = by_name(["nginx"])[0]
    try:
        launch = nginx.launch(place(tmp_path))
    except AbsentError as reason:
        pytest.skip(str(reason))
    assert launch is not None
    done = subprocess.run([*launch.command, "-t"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("contestant", EVERYBODY, ids=NAMES)
def test_a_contestant_in_the_readme(contestant: Contestant) -> None:
    """Its configuration is stated there in the words of its declaration."""
    row = f"| {contestant.title} | {contestant.configuration} |"
    assert row in (BENCH / "README.md").read_text(encoding="utf-8")
