from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from proxy.meter.shared_name_set import SharedNameSet

ROOT = Path(__file__).parents[2]


def test_without_a_file_the_cap_is_the_workers_own() -> None:
    """And what is known stays known."""
    names = SharedNameSet(2)
    assert [names.admit(name) for name in ("a", "b", "c", "a")] == [True, True, False, True]
    assert "b" in names
    assert "c" not in names


def test_all_workers_share_one_cap(tmp_path: Path) -> None:
    """In turns, each with names of its own: together they keep as many as one may."""
    workers = [SharedNameSet(5, tmp_path / "names") for _ in range(4)]
    admitted = {
        f"{number}-{turn}"
        for turn in range(5)
        for number, names in enumerate(workers)
        if names.admit(f"{number}-{turn}")
    }
    assert len(admitted) == 5
    assert all(names.admit(name) for names in workers for name in admitted)


def test_processes_that_admit_at_once_keep_to_the_cap(tmp_path: Path) -> None:
    """Nobody's name is lost or torn in two."""
    script = (
        "from proxy.meter.shared_name_set import SharedNameSet as K; import pathlib, sys; "
        "p, w = sys.argv[1:]; k = K(50, pathlib.Path(p)); [k.admit(f'{w}-{n}') for n in range(40)]"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "names")]
    running = [subprocess.Popen([*command, str(number)], cwd=ROOT) for number in range(3)]
    assert [process.wait() for process in running] == [0, 0, 0]
    lines = (tmp_path / "names").read_text().splitlines()
    assert len(lines) == len(set(lines)) == 50
    assert all(line in {f"{w}-{n}" for w in range(3) for n in range(40)} for line in lines)


def test_the_next_worker_knows_what_the_last_one_did(tmp_path: Path) -> None:
    """So that restarts do not stretch the cap."""
    SharedNameSet(1, tmp_path / "names").admit("a")
    after = SharedNameSet(1, tmp_path / "names")
    assert "a" in after
    assert not after.admit("b")


def test_half_a_name_of_a_killed_writer_is_none(tmp_path: Path) -> None:
    """And what is written after it is whole."""
    (tmp_path / "names").write_bytes(b"a\nhalf-of-a-long-na")
    names = SharedNameSet(5, tmp_path / "names")
    assert names.admit("b")
    assert (tmp_path / "names").read_bytes() == b"a\nb\n"


def test_where_nothing_can_be_written_nothing_is_admitted(tmp_path: Path) -> None:
    """And nothing dies; once there is room again, it is."""
    folder = tmp_path / "gone"
    names = SharedNameSet(5, folder / "names")
    assert not names.admit("a")
    folder.mkdir()
    assert names.admit("a")


def test_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Model names may be a business secret."""
    SharedNameSet(5, tmp_path / "names").admit("a")
    assert (tmp_path / "names").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["é" * 50, "a b", "a\tb"])
def test_any_name_of_one_line_can_be_kept(tmp_path: Path, name: str) -> None:
    """Byte for byte."""
    SharedNameSet(5, tmp_path / "names").admit(name)
    assert name in SharedNameSet(5, tmp_path / "names")
