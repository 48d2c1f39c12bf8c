from __future__ import annotations

import http.client
import os
import shutil
import signal
import ssl
from pathlib import Path
from typing import Any

import pytest

from proxy.appliance.file_snapshots import FileSnapshots
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings
from tests.appliance.running import Running, wait_until
from tests.appliance.test_run import appliance
from tests.fixtures.ports import free_port
from tests.nginx.pem import ONE, TWO

PRICES = '"demo*" = { input = 1.0, output = 2.0 }\n'
DER = {pair: ssl.PEM_cert_to_DER_cert(Path(pair.certificate).read_text()) for pair in (ONE, TWO)}


@pytest.fixture
def named(tmp_path: Path) -> Settings:
    """Settings that name files of all kinds."""
    for name in ("prices.toml", "own.pem", "of-one.pem", "cert.pem", "key.pem", "client.pem"):
        (tmp_path / name).write_text(name)
    upstream: dict[str, Any] = {"name": "a", "url": "https://a.example"}
    return Settings(
        prices=str(tmp_path / "prices.toml"),
        upstream_ca=str(tmp_path / "own.pem"),
        tls_certificate=str(tmp_path / "cert.pem"),
        tls_key=str(tmp_path / "key.pem"),
        tls_client_ca=str(tmp_path / "client.pem"),
        upstreams=(
            UpstreamSettings.model_validate(upstream | {"ca": str(tmp_path / "of-one.pem")}),
            UpstreamSettings.model_validate(upstream | {"name": "b"}),
        ),
    )


def paths_of(settings: Settings) -> list[str]:
    paths = [getattr(settings, name) for name in ("prices", "upstream_ca", "tls_certificate")]
    return [*paths, settings.tls_key, settings.tls_client_ca, settings.upstreams[0].ca]


def test_what_lies_on_the_disk_later_does_not_matter(named: Settings, tmp_path: Path) -> None:
    """The copies say what was checked; an unchanged file keeps its copy's name, and its ending."""
    (run := tmp_path / "run").mkdir()
    files = FileSnapshots(run)
    held = files.snapshot(named)
    texts = [Path(path).read_text() for path in paths_of(held)]
    assert paths_of(files.snapshot(named)) == paths_of(held)
    for path in paths_of(named):
        Path(path).write_text("broken")
    assert [Path(path).read_text() for path in paths_of(held)] == texts
    assert texts == [Path(path).name for path in paths_of(named)]
    assert (held.prices or "").endswith(".toml")
    assert held.upstreams[1] == named.upstreams[1]


def test_the_private_key_is_on_no_disk(named: Settings, tmp_path: Path) -> None:
    """Children find it in memory that goes with the supervisor."""
    (run := tmp_path / "run").mkdir()
    FileSnapshots(run).snapshot(named)
    kept = [file.read_text() for file in run.rglob("*") if file.is_file()]
    assert "cert.pem" in kept
    assert "key.pem" not in kept


def test_only_what_is_named_is_kept(named: Settings, tmp_path: Path) -> None:
    """A file that changes a thousand times leaves no thousand copies, nor descriptors."""
    (run := tmp_path / "run").mkdir()
    files = FileSnapshots(run)
    for number in range(20):
        for path in paths_of(named):
            Path(path).write_text(f"{path} {number}")
        held = files.snapshot(named)
        files.retain(held)
    assert sorted(map(str, (run / "held").iterdir())) == sorted(
        set(paths_of(held)) - {held.tls_key}
    )
    assert len(files._in_memory) == 1
    assert "19" in Path(held.tls_key or "").read_text()


def test_without_files_there_is_no_folder(tmp_path: Path) -> None:
    """Nothing is made that nobody needs."""
    files = FileSnapshots(tmp_path)
    files.retain(files.snapshot(Settings()))
    assert list(tmp_path.iterdir()) == []


def put(folder: Path, pair: Any) -> None:
    shutil.copy(pair.certificate, folder / "cert.pem")
    shutil.copy(pair.key, folder / "key.pem")


def serves(running: Running, port: int, pair: Any) -> bool:
    """Whether a request by TLS is answered, with this certificate."""
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    client = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trusting)
    try:
        client.request("GET", "/v1/models")
        met = client.sock.getpeercert(binary_form=True)
        return client.getresponse().status == 200 and met == DER[pair]
    except OSError:
        return False
    finally:
        client.close()


def test_broken_files_end_nothing(tmp_path: Path) -> None:
    """What dies comes back with what holds; a reload refuses them by name; good ones are taken."""
    tls = free_port()
    put(tmp_path, ONE)
    (tmp_path / "prices.toml").write_text(PRICES)
    settings = {
        "SLUICE_TLS_PORT": str(tls),
        "SLUICE_TLS_CERTIFICATE": str(tmp_path / "cert.pem"),
        "SLUICE_TLS_KEY": str(tmp_path / "key.pem"),
        "SLUICE_PRICES": str(tmp_path / "prices.toml"),
    }
    with appliance(tmp_path, SLUICE_WORKERS="1", **settings) as running:
        assert serves(running.ready(), tls, ONE)
        for name in ("cert.pem", "key.pem", "prices.toml"):
            (tmp_path / name).write_text("broken [")
        status = running.status()
        for process in (*status["workers"], status["nginx"]):
            os.kill(process["pid"], signal.SIGKILL)
        wait_until(lambda: running.status()["nginx"]["restarts"] == 1, "nginx is started again")
        wait_until(lambda: running.status()["state"] == "ready", "all are back")
        wait_until(lambda: serves(running, tls, ONE), "served with what holds")

        running.signal(signal.SIGHUP)
        wait_until(lambda: running.logged("not_reloaded"), "the refusal")
        (entry,) = running.logged("not_reloaded")
        assert str(tmp_path / "cert.pem") in entry["complaint"]
        assert str(tmp_path / "prices.toml") in entry["complaint"]
        assert serves(running, tls, ONE)

        put(tmp_path, TWO)
        (tmp_path / "prices.toml").write_text(PRICES)
        running.signal(signal.SIGHUP)
        wait_until(lambda: serves(running, tls, TWO), "served with what is new")
        assert [worker["restarts"] for worker in running.status()["workers"]] == [1]
