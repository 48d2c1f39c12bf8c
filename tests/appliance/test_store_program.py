from __future__ import annotations

from pathlib import Path

import pytest

from proxy.appliance import store_program


def test_the_distributions_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Valkey before Redis, and what a package brings only where neither is."""
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(store_program, "_MORE_PATH", "/nowhere")
    names = [Path(candidate).name for candidate in store_program.candidates()]
    assert names[:2] == ["valkey-server", "redis-server"]
    assert store_program.find() == str(tmp_path / "valkey-server")


def test_no_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """The three ways out are named."""
    monkeypatch.setattr(store_program, "candidates", lambda: iter(()))
    with pytest.raises(store_program.NoStore, match="SLUICE_STORE_URL"):
        store_program.find()


def test_how_it_is_called() -> None:
    """No port, no disk, no more memory than allowed, and nothing forgotten in silence."""
    command = store_program.command("valkey-server", Path("/run/x/store.sock"), 1234)
    options = dict(zip(command[1::2], command[2::2], strict=True))
    assert options["--port"] == "0"
    assert (options["--save"], options["--appendonly"]) == ("", "no")
    assert (options["--maxmemory"], options["--maxmemory-policy"]) == ("1234", "noeviction")
