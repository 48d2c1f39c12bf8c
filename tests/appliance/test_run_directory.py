from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING

import pytest

from proxy.appliance.run_directory import run_directory

if TYPE_CHECKING:
    from pathlib import Path


def test_it_is_private_and_temporary() -> None:
    """Nobody else looks in, and it is gone afterwards with all that was put there."""
    with run_directory() as run:
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
        assert run.metrics.is_dir()
        (run.path / "left").write_text("something")
    assert not run.path.exists()


def test_it_goes_away_after_an_error_too() -> None:
    """However the run ends, nothing stays behind."""
    with pytest.raises(RuntimeError), run_directory() as run:
        raise RuntimeError
    assert not run.path.exists()


def test_a_deep_tmpdir_does_not_make_sockets_impossible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a socket's address would be too long for the kernel, `/tmp` is used instead."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    with run_directory() as run:
        assert len(str(run.worker_socket(255))) <= 107


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's nginx becomes somebody else")
def test_a_private_tmpdir_does_not_lock_nginx_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody may not pass, `/tmp` is used instead."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr("tempfile.tempdir", str(private))
    with run_directory() as run:
        assert private not in run.path.parents


def test_what_a_killed_supervisor_left_is_cleared_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start removes it; what is in use, or not Sluice's, stays."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("proxy.appliance.run_directory._all_may_pass", lambda _: True)
    (tmp_path / "sluice-dead").mkdir()
    (tmp_path / "sluice-dead" / "lock").touch()
    (tmp_path / "sluice-dead" / "worker-0.sock").touch()
    (tmp_path / "sluice-of-somebody").mkdir()
    with run_directory() as first:
        assert not (tmp_path / "sluice-dead").exists()
        with run_directory() as second:
            assert first.path.exists()
            assert second.path != first.path
    assert [path.name for path in tmp_path.iterdir()] == ["sluice-of-somebody"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_as_root_nginx_becomes_nobody() -> None:
    """Nginx has no rights, since it reads unchecked bytes; its directory is private still."""
    with run_directory() as run:
        assert run.nginx_user is not None
        user, _group = run.nginx_user.split()
        assert pwd.getpwuid(run.path.stat().st_uid).pw_name == user == "nobody"
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700


def test_without_the_right_to_change_users_nginx_stays_who_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In a container without capabilities root keeps nginx as root rather than fail."""
    monkeypatch.setattr("proxy.appliance.run_directory._may_change_user", lambda: False)
    with run_directory() as run:
        assert run.nginx_user is None
        assert run.path.stat().st_uid == os.geteuid()
