"""The whole appliance as it ships: `sluice run` with its own nginx, workers and demo upstream."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.appliance.running import Running, alive, children_of, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CHAT = "/v1/chat/completions"


def ask(model: str, **more: Any) -> dict[str, Any]:
    """The body of a question that streams."""
    return {
        "model": model,
        "stream": True,
        "messages": [{"role": "user", "content": "Hello"}],
        **more,
    }


def appliance(folder: Path, **settings: str) -> Running:
    """`sluice run` with the demo upstream."""
    given = {"SLUICE_WORKERS": "2", "SLUICE_UPSTREAM_URL": ""} | settings
    return Running(folder, "-m", "proxy", "run", **given)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One appliance for all tests that only ask it something."""
    with appliance(
        tmp_path_factory.mktemp("shared"), SLUICE_CORS_ORIGINS="https://app.example"
    ) as running:
        yield running.ready()


@pytest.fixture
def client(shared: Running) -> Iterator[httpx.Client]:
    """A client of the public port."""
    with httpx.Client(base_url=f"http://127.0.0.1:{shared.port}", timeout=20) as opened:
        yield opened


def test_who_dies_first_for_want_of_memory(shared: Running) -> None:
    """Workers, of all processes: with any other the streams of all would end."""

    def score(pid: int) -> int:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text())

    supervisor = shared.process.pid
    workers = {worker["pid"] for worker in shared.status()["workers"]}
    workers.update(*map(children_of, workers))
    others = {supervisor, *children_of(supervisor)} - workers
    assert min(map(score, workers)) > max(map(score, others))


def scraped(running: Running) -> Counter[str]:
    """Every counter of `/metrics`, by its name and labels."""
    text = running.get("/metrics", admin=True)[1].decode()
    samples: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        if family.type == "counter":
            for sample in family.samples:
                samples[f"{sample.name}{sorted(sample.labels.items())}"] = int(sample.value)
    return samples


def requests_counted(running: Running, **labels: str) -> int:
    """How many requests `/metrics` has with these labels."""
    text = running.get("/metrics", admin=True)[1].decode()
    samples = (
        sample for family in text_string_to_metric_families(text) for sample in family.samples
    )
    return sum(
        int(sample.value)
        for sample in samples
        if sample.name == "sluice_requests_total" and labels.items() <= sample.labels.items()
    )


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_curl_line_can_be_pasted(shared: Running) -> None:
    """What the terminal offers runs as it stands in a shell, and streams to its end."""
    (line,) = re.findall(r"^ +try +(curl .*)$", shared.out, re.MULTILINE)
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True, timeout=20)
    assert done.stdout.count("data: {") > 10
    assert done.stdout.endswith("data: [DONE]\n\n")


def test_tokens_come_one_by_one(shared: Running, client: httpx.Client) -> None:
    """Through nginx and a worker, the first token is there long before the last."""
    with client.stream("POST", CHAT, json=ask("demo;ttft=0;rate=20;tokens=20")) as answer:
        assert answer.headers["x-accel-buffering"] == "no"
        pieces = list(answer.iter_raw())
    assert len(pieces) > 15


def test_selftest_finds_no_buffer(shared: Running) -> None:
    """The command's verdict on the appliance itself."""
    done = subprocess.run(
        [*shared.python, "-m", "proxy", "selftest", f"http://127.0.0.1:{shared.port}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0, done.stdout
    assert "Nothing buffers the stream." in done.stdout


def test_one_request_id_runs_through_everything(shared: Running, client: httpx.Client) -> None:
    """The client's id is on the answer, in the worker's line and in nginx's."""
    answer = client.post(CHAT, json=ask("demo-fast;tokens=3"), headers={"X-Request-ID": "trace-me"})
    assert answer.headers["x-request-id"] == "trace-me"
    for event in ("request", "access"):
        wait_until(partial(_says, shared, event, "trace-me"), event)


def _says(running: Running, event: str, request_id: str) -> bool:
    """Whether a line of the log tells this of a request."""
    return any(line["request_id"] == request_id for line in running.logged(event))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [(CHAT, b"{", 400), ("/nowhere", b"{}", 404), (CHAT, b"x" * 40_000_000, 413)],
    ids=["bad JSON", "no route", "too large"],
)
def test_errors_have_one_shape_and_one_origin_whoever_makes_them(
    shared: Running, client: httpx.Client, path: str, body: bytes, status: int
) -> None:
    """The worker's errors and nginx's cannot be told apart by a client."""
    answer = client.post(
        path,
        content=body,
        headers={"Origin": "https://app.example", "Content-Type": "application/json"},
    )
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error.keys() == {"message", "type", "code", "request_id"}
    assert answer.headers.get_list("access-control-allow-origin") == ["https://app.example"]


def test_a_browser_may_ask_from_an_allowed_origin(shared: Running, client: httpx.Client) -> None:
    """The preflight needs no key, and the answer has exactly one allowed origin."""
    origin = {"Origin": "https://app.example"}
    preflight = client.options(
        CHAT,
        headers=origin
        | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        },
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-headers"] == "authorization"
    answer = client.post(CHAT, json=ask("demo-fast;tokens=3"), headers=origin)
    assert answer.headers.get_list("access-control-allow-origin") == ["https://app.example"]


def test_sigterm_lets_a_stream_finish_and_exits_0(tmp_path: Path) -> None:
    """A stream that runs when the signal comes arrives whole; the exit is clean."""
    with appliance(tmp_path, SLUICE_WORKERS="1") as running:
        running.ready()
        url = f"http://127.0.0.1:{running.port}{CHAT}"
        body = ask("demo;ttft=0;rate=40;tokens=60")
        with httpx.stream("POST", url, json=body, timeout=20) as answer:
            lines = answer.iter_lines()
            assert next(lines).startswith("data: ")
            running.signal(signal.SIGTERM)
            wait_until(running.refuses, "a closed port")
            assert list(lines)[-2] == "data: [DONE]"
        assert running.ended() == 0
        assert running.logged("drained")[-1]["cut"] == 0


def test_at_the_deadline_a_stream_is_cut_visibly_and_counted(tmp_path: Path) -> None:
    """What runs on past the drain gets an error event instead of its end; the log has the sum."""
    with appliance(tmp_path, SLUICE_WORKERS="1", SLUICE_DRAIN_SECONDS="0.3") as running:
        running.ready()
        url = f"http://127.0.0.1:{running.port}{CHAT}"
        body = ask("demo;ttft=0;rate=20;tokens=2000")
        with httpx.stream("POST", url, json=body, timeout=20) as answer:
            lines = answer.iter_lines()
            next(lines)
            running.signal(signal.SIGTERM)
            rest: list[str] = []
            with pytest.raises(httpx.RemoteProtocolError, match="incomplete chunked read"):
                rest.extend(line for line in lines if line)
        assert "[DONE]" not in "".join(rest)
        assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "gateway_stopped"
        assert running.ended() == 0
        assert running.logged("drained")[-1]["cut"] == 1


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    """Twice Ctrl-C ends it within moments, its children too, and the client sees a cut."""
    with appliance(tmp_path, SLUICE_WORKERS="1") as running:
        running.ready()
        url = f"http://127.0.0.1:{running.port}{CHAT}"
        body = ask("demo;ttft=0;rate=20;tokens=2000")
        before = children_of(running.process.pid)
        with httpx.stream("POST", url, json=body, timeout=20) as answer:
            pieces = answer.iter_raw()
            next(pieces)
            running.signal(signal.SIGINT)
            wait_until(running.refuses, "a closed port")
            running.signal(signal.SIGINT)
            # The connection breaks off, or the upstream died first and the stream says so.
            heard = b""
            with contextlib.suppress(httpx.RemoteProtocolError):
                for piece in pieces:
                    heard += piece
                assert b'"error"' in heard
            assert b"[DONE]" not in heard
        assert running.ended() == 1
        assert not any(map(alive, before))


def test_a_killed_worker_comes_back_and_no_count_is_lost(tmp_path: Path) -> None:
    """Counters never go down, and what was in flight in the dead worker is so no longer."""
    with appliance(tmp_path) as running:
        running.ready()
        with httpx.Client(base_url=f"http://127.0.0.1:{running.port}", timeout=20) as client:
            for _ in range(6):
                assert client.post(CHAT, json=ask("demo-fast;tokens=3")).status_code == 200
            wait_until(lambda: requests_counted(running, ended_by="complete") == 6, "six")
            before = scraped(running)
            with client.stream("POST", CHAT, json=ask("demo;ttft=0;tokens=2000")) as answer:
                next(answer.iter_raw())
                for worker in running.status()["workers"]:
                    os.kill(worker["pid"], signal.SIGKILL)
            wait_until(lambda: running.get("/readyz", admin=True)[0] == 503, "not ready")
            wait_until(lambda: running.get("/readyz", admin=True)[0] == 200, "ready again")
            after = scraped(running)
            assert all(after[name] >= count for name, count in before.items())
            assert b"\nsluice_streams_in_flight 0.0\n" in running.get("/metrics", admin=True)[1]
            wait_until(lambda: running.status()["state"] == "ready", "all ready")
            assert client.post(CHAT, json=ask("demo-fast;tokens=3")).status_code == 200
            wait_until(lambda: requests_counted(running, ended_by="complete") == 7, "seven")


def test_a_killed_supervisor_takes_everything_along(tmp_path: Path) -> None:
    """Real workers, the demo and nginx do not outlive it, streams or not."""
    with appliance(tmp_path, SLUICE_WORKERS="1") as running:
        running.ready()
        before = children_of(running.process.pid)
        client = http.client.HTTPConnection("127.0.0.1", running.port, timeout=10)
        client.request("POST", CHAT, json.dumps(ask("demo;tokens=2000")))
        assert client.getresponse().read1(10)
        running.process.kill()
        wait_until(lambda: not any(map(alive, before)), "the end of all")
        client.close()
