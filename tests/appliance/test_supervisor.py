from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from proxy.appliance.certificate import not_after
from tests.appliance.running import DEADLINE, Running, alive, children_of, wait_until
from tests.fixtures.ports import free_port
from tests.nginx.pem import ONE, TWO, ending

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = json.dumps(
    {"first_delay": 0.02, "check": 0.1, "final_events": 0.3, "flush": 1.0, "stop": 0.3}
)


def pid_of(running: Running, process: str) -> int:
    """The process id of nginx, or of the first worker."""
    status = running.status()
    pid: int = status["nginx"]["pid"] if process == "nginx" else status["workers"][0]["pid"]
    return pid


def certificate_of(port: int) -> str:
    """The certificate that a port shows."""
    return ssl.get_server_certificate(("127.0.0.1", port))


def expiry_in(running: Running) -> float:
    """When the certificate expires, by the metrics."""
    text = running.get("/metrics", admin=True)[1].decode()
    return float(text.partition("\nsluice_tls_certificate_expiry_timestamp_seconds ")[2].split()[0])


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One for the tests that only ask it something."""
    with Running(tmp_path_factory.mktemp("shared"), SLUICE_WORKERS="2") as running:
        yield running.ready()


def test_it_says_where_it_listens_and_how_to_try_it(shared: Running) -> None:
    """Once everything answers, stdout has both URLs and a curl line; probes are answered."""
    assert f"http://127.0.0.1:{shared.port}" in shared.out
    assert f"http://127.0.0.1:{shared.admin_port}" in shared.out
    assert "curl -N" in shared.out
    assert shared.get("/readyz")[0] == shared.get("/readyz", admin=True)[0] == 200
    assert [worker["state"] for worker in shared.status()["workers"]] == ["ready", "ready"]


def test_operators_routes_are_not_public(shared: Running) -> None:
    """`/metrics` and `/status` are the admin port's; the public one passes them to the workers."""
    assert b"sluice_process_up" in shared.get("/metrics", admin=True)[1]
    assert b"sluice_process_up" not in shared.get("/metrics")[1]
    assert shared.get("/internal/status")[0] == 404


@pytest.mark.parametrize("process", ["worker", "nginx"])
def test_what_is_killed_comes_back(tmp_path: Path, process: str) -> None:
    """A dead worker or nginx is started again, and requests are answered as before."""
    with Running(tmp_path, SLUICE_WORKERS="2", RESTART_POLICY=QUICK) as running:
        running.ready()
        before = pid_of(running, process)
        family = children_of(before)
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: pid_of(running, process) not in {None, before}, "a new process")
        wait_until(lambda: running.status()["state"] == "ready", "ready")
        wait_until(lambda: not any(map(alive, family)), "the end of what it left behind")
        wait_until(lambda: not running.refuses(), "the port")
        assert running.get("/v1/x")[0] == 200
        assert [died["status"] for died in running.logged("died")] == [137]


def test_the_others_serve_while_one_is_away(tmp_path: Path) -> None:
    """While one of two workers waits to be started again, every request is answered."""
    policy = json.dumps({"first_delay": 60, "stop": 0.3})
    with Running(tmp_path, SLUICE_WORKERS="2", RESTART_POLICY=policy) as running:
        running.ready()
        first = pid_of(running, "worker")
        os.kill(first, signal.SIGKILL)
        # The first restart is at once; only a second death in a row is waited for.
        wait_until(lambda: running.status()["workers"][0]["restarts"] == 1, "its restart")
        wait_until(lambda: running.status()["workers"][0]["state"] == "ready", "its return")
        os.kill(pid_of(running, "worker"), signal.SIGKILL)
        wait_until(lambda: running.status()["workers"][0]["state"] == "waiting", "its death")
        assert {running.get("/v1/x")[0] for _ in range(6)} == {200}
        assert running.get("/readyz", admin=True)[0] == 200


def test_a_worker_that_cannot_start_ends_the_run_and_shows_its_stderr(tmp_path: Path) -> None:
    """The reason is the last thing on the terminal, the exit status is 1, nothing is left."""
    with Running(tmp_path, STUB='{"dies_at_start": true}') as running:
        assert running.ended() == 1
        assert "the model of the year is missing" in running.err.splitlines()[-1]
        assert running.out == ""


def test_a_certificate_that_is_none_ends_the_run(tmp_path: Path) -> None:
    """It is said with the setting and the file, before anything listens."""
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    with Running(tmp_path, SLUICE_TLS_CERTIFICATE=str(bad), SLUICE_TLS_KEY=ONE.key) as running:
        assert running.ended() == 1
        assert "SLUICE_TLS_CERTIFICATE" in running.err
        assert str(bad) in running.err


def test_a_taken_port_is_said_in_one_line(tmp_path: Path) -> None:
    """The setting, the port and the reason; no process is started for it."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        with Running(tmp_path, SLUICE_LISTEN_PORT=str(taken)) as running:
            assert running.ended() == 1
            assert running.err.startswith(
                f"sluice: SLUICE_LISTEN_PORT: 127.0.0.1 port {taken} is in use"
            )


def test_sigterm_lets_a_stream_finish(tmp_path: Path) -> None:
    """Nothing new is let in, the probe says draining, the stream comes whole, the exit is clean."""
    impatient = json.dumps({"flush": 0.1, "stop": 0.1})
    with Running(tmp_path, SLUICE_WORKERS="2", RESTART_POLICY=impatient) as running:
        running.ready()
        with running.stream() as stream:
            running.signal(signal.SIGTERM)
            wait_until(running.refuses, "a closed port")
            assert running.get("/readyz", admin=True)[0] == 503
            wait_until(lambda: running.status()["streams"] == 1, "the stream in the status")
            # Longer than anything but the drain itself allows.
            time.sleep(0.5)
            release(running)
            assert stream.read().endswith(b"data: released\n\n")
        assert running.ended() == 0
        assert not children_of(running.process.pid)


def release(running: Running) -> None:
    """Let held streams end, past nginx, which is closed by now."""
    (ready,) = running.logged("ready")
    for path in Path(ready["run"]).glob("worker-*.sock"):
        # A worker that holds no stream may have ended, or end just now.
        with socket.socket(socket.AF_UNIX) as client, contextlib.suppress(OSError):
            client.connect(str(path))
            client.sendall(b"GET /v1/release HTTP/1.0\r\n\r\n")
            client.recv(4096)


def test_at_the_deadline_the_rest_is_cut(tmp_path: Path) -> None:
    """A worker that does not end in time is killed; its client sees an incomplete body."""
    with Running(tmp_path, SLUICE_DRAIN_SECONDS="0", RESTART_POLICY=QUICK) as running:
        running.ready()
        with running.stream() as stream:
            running.signal(signal.SIGTERM)
            assert running.ended() == 0
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                stream.read()


def test_a_client_that_says_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Open connections without a request, new or kept, are closed with everything else."""
    with Running(tmp_path, RESTART_POLICY=QUICK) as running:
        running.ready()
        with contextlib.ExitStack() as stack:
            address = ("127.0.0.1", running.port)
            silent, kept = (stack.enter_context(socket.create_connection(address)) for _ in "ab")
            kept.sendall(b"GET /v1/x HTTP/1.1\r\nHost: a\r\n\r\n")
            assert kept.recv(65536)
            running.signal(signal.SIGTERM)
            assert running.ended() == 0
            assert silent.recv(1) == b""


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Whoever presses Ctrl-C twice does not wait for the streams."""
    with Running(tmp_path, SLUICE_DRAIN_SECONDS="300", RESTART_POLICY=QUICK) as running:
        running.ready()
        with running.stream():
            before = children_of(running.process.pid)
            running.signal(signal.SIGINT)
            wait_until(running.refuses, "a closed port")
            running.signal(signal.SIGINT)
            assert running.ended() == 1
        assert not any(map(alive, before))


def test_ctrl_c_in_a_terminal_cuts_no_stream(tmp_path: Path) -> None:
    """The terminal signals the whole group; nginx and the workers are not in it."""
    with Running(tmp_path, RESTART_POLICY=QUICK) as running:
        running.ready()
        with running.stream() as stream:
            os.killpg(running.process.pid, signal.SIGINT)
            wait_until(running.refuses, "a closed port")
            release(running)
            assert stream.read().endswith(b"data: released\n\n")
        assert running.ended() == 0


def test_a_signal_during_the_start_is_heard(tmp_path: Path) -> None:
    """Told to stop before it is ready, it ends without having been ready, and leaves nothing."""
    with Running(tmp_path, STUB='{"never_ready": true}', RESTART_POLICY=QUICK) as running:
        wait_until(lambda: children_of(running.process.pid), "a worker")
        before = children_of(running.process.pid)
        running.signal(signal.SIGTERM)
        assert running.ended() == 0
        assert running.out == ""
        assert not any(map(alive, before))


def test_a_killed_supervisor_leaves_no_orphans(tmp_path: Path) -> None:
    """After `kill -9` workers, nginx and nginx's own processes are gone too."""
    with Running(tmp_path, SLUICE_WORKERS="2", SLUICE_UPSTREAM_URL="") as running:
        running.ready()
        before = children_of(running.process.pid)
        # The demo, the store, two workers, nginx and its one process.
        assert len(before) == 6
        running.process.kill()
        running.ended()
        wait_until(lambda: not any(map(alive, before)), "the end of all")


def test_the_run_directory_is_private_and_goes_away(tmp_path: Path) -> None:
    """It lies under TMPDIR with mode 0700, and is removed at the end."""
    short = Path("/tmp") / f"t{os.getpid()}"
    short.mkdir()
    try:
        with Running(tmp_path, TMPDIR=str(short), RESTART_POLICY=QUICK) as running:
            running.ready()
            (directory,) = short.iterdir()
            assert stat.S_IMODE(directory.stat().st_mode) == 0o700
            running.signal(signal.SIGTERM)
            assert running.ended() == 0
            assert list(short.iterdir()) == []
    finally:
        shutil.rmtree(short)


def test_sighup_takes_up_a_new_certificate(tmp_path: Path) -> None:
    """The next connection gets the new certificate, and a running stream goes on."""
    certificate, key, tls = tmp_path / "c.pem", tmp_path / "k.pem", free_port()
    shutil.copy(ONE.certificate, certificate)
    shutil.copy(ONE.key, key)
    with Running(
        tmp_path,
        SLUICE_TLS_PORT=str(tls),
        SLUICE_TLS_CERTIFICATE=str(certificate),
        SLUICE_TLS_KEY=str(key),
        RESTART_POLICY=QUICK,
    ) as running:
        running.ready()
        assert certificate_of(tls) == Path(ONE.certificate).read_text()
        assert expiry_in(running) == not_after(ONE.certificate).timestamp()
        with running.stream() as stream:
            renewed = ending(TWO, tmp_path, b"21000301000000Z")
            shutil.copy(renewed, certificate)
            shutil.copy(TWO.key, key)
            running.signal(signal.SIGHUP)
            wait_until(lambda: certificate_of(tls) == Path(renewed).read_text(), "the new one")
            wait_until(lambda: expiry_in(running) == not_after(renewed).timestamp(), "its end")
            running.get("/v1/release")
            assert stream.read().endswith(b"data: released\n\n")


def test_sighup_with_a_broken_certificate_changes_nothing(tmp_path: Path) -> None:
    """The old certificate stays in use, and the log has nginx's complaint."""
    certificate, tls = tmp_path / "c.pem", free_port()
    shutil.copy(ONE.certificate, certificate)
    with Running(
        tmp_path,
        SLUICE_TLS_PORT=str(tls),
        SLUICE_TLS_CERTIFICATE=str(certificate),
        SLUICE_TLS_KEY=ONE.key,
    ) as running:
        running.ready()
        certificate.write_text("not yet written")
        running.signal(signal.SIGHUP)
        wait_until(lambda: running.logged("not_reloaded"), "the complaint")
        assert certificate_of(tls) == Path(ONE.certificate).read_text()


def test_without_an_upstream_the_demo_answers_and_that_is_said(tmp_path: Path) -> None:
    """Nobody can take the demo for a model: the terminal and the log both say what it is."""
    with Running(tmp_path, SLUICE_UPSTREAM_URL="") as running:
        running.ready()
        assert "SLUICE_UPSTREAM_URL" in running.out
        assert running.logged("demo_upstream")
        assert running.status()["demo"]["state"] == "ready"


def answers(running: Running, count: int) -> list[int]:
    """The statuses of so many requests, one after the other."""
    return [running.get("/v1/x")[0] for _ in range(count)]


def pids_of_workers(running: Running) -> list[int]:
    """The process ids of all workers."""
    return [worker["pid"] for worker in running.status()["workers"]]


def test_who_comes_while_all_workers_are_dead_waits_for_the_next(tmp_path: Path) -> None:
    """Killed together, they are back in a moment: nobody who comes meanwhile is refused."""
    with Running(tmp_path, SLUICE_WORKERS="2", RESTART_POLICY=QUICK) as running:
        running.ready()
        before = pids_of_workers(running)
        for pid in before:
            os.kill(pid, signal.SIGKILL)
        # What one of them takes in before the kernel has ended it dies with it.
        wait_until(lambda: not any(map(alive, before)), "their death")
        assert set(answers(running, 20)) == {200}
        wait_until(lambda: running.status()["state"] == "ready", "ready")


def block(running: Running) -> http.client.HTTPConnection:
    """Have a worker's event loop stand still."""
    client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
    client.request("POST", "/v1/block")
    return client


@pytest.mark.parametrize("how", ["stopped", "blocked"])
def test_a_frozen_worker_gets_nothing_new_and_is_replaced(tmp_path: Path, how: str) -> None:
    """Once it has no heartbeat the other one answers everything, and soon there are two again."""
    policy = json.dumps(json.loads(QUICK) | {"beat": 0.1, "silent_after": 5, "frozen_after": 15})
    with (
        contextlib.ExitStack() as stack,
        Running(tmp_path, SLUICE_WORKERS="2", RESTART_POLICY=policy) as running,
    ):
        running.ready()
        before = pids_of_workers(running)
        if how == "stopped":
            os.kill(before[0], signal.SIGSTOP)
        else:
            blocked = block(running)
            stack.callback(blocked.close)
        wait_until(lambda: running.logged("state") or running.logged("frozen"), "silence")
        assert set(answers(running, 20)) == {200}
        wait_until(lambda: running.logged("frozen"), "a frozen worker")
        wait_until(lambda: running.status()["state"] == "ready", "ready")
        wait_until(
            lambda: None not in pids_of_workers(running) and pids_of_workers(running) != before,
            "another",
        )
        assert len(set(pids_of_workers(running)) & set(before)) == 1
        assert set(answers(running, 20)) == {200}


def test_when_no_worker_has_a_pulse_the_machine_is_not_ready(tmp_path: Path) -> None:
    """The probe says so at once; who comes waits for the worker that takes its place."""
    policy = json.dumps(json.loads(QUICK) | {"beat": 0.1, "silent_after": 5, "frozen_after": 40})
    with Running(tmp_path, RESTART_POLICY=policy) as running:
        running.ready()
        with contextlib.closing(block(running)):
            wait_until(lambda: running.get("/readyz", admin=True)[0] == 503, "not ready")
            with contextlib.closing(
                http.client.HTTPConnection("127.0.0.1", running.port, timeout=DEADLINE)
            ) as client:
                client.request("GET", "/v1/x")
                assert client.getresponse().status == 200
        wait_until(lambda: running.get("/readyz", admin=True)[0] == 200, "ready")


def test_sigterm_to_every_process_lets_a_stream_finish(tmp_path: Path) -> None:
    """As systemd does it by default: nginx and the workers go on until the supervisor says so."""
    with Running(tmp_path, SLUICE_WORKERS="2") as running:
        running.ready()
        with running.stream() as stream:
            for pid in [*children_of(running.process.pid), running.process.pid]:
                os.kill(pid, signal.SIGTERM)
            wait_until(running.refuses, "a closed port")
            release(running)
            assert b"data: released" in stream.read()
        assert running.ended() == 0
