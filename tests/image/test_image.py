"""The image keeps its promises: small rights, a true health, streams that end, workers back."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.docker import Container, docker, wait_until
from tests.image.conftest import HARDENED, HEALTHY_SECONDS, IMAGE, is_healthy

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.image

Start = Callable[..., Container]


def stream(container: Container, tokens: int, rate: int) -> Iterator[str]:
    """Ask for a stream of so many tokens, at so many a second, and give its data lines."""
    body = {
        "model": f"demo;ttft=0;jitter=0;rate={rate};tokens={tokens}",
        "messages": [{"role": "user", "content": "Tell me of water."}],
        "stream": True,
    }
    url = container.url(8080) + "/v1/chat/completions"
    with httpx.stream("POST", url, json=body, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("data: "):
                yield line.removeprefix("data: ")


def content(events: list[str]) -> list[str]:
    """The text pieces of a chat stream that must have ended as it should."""
    assert events[-1] == "[DONE]"
    chunks: list[dict[str, Any]] = [json.loads(event) for event in events[:-1]]
    assert not [chunk for chunk in chunks if "error" in chunk]
    deltas = [choice["delta"] for chunk in chunks for choice in chunk.get("choices", [])]
    return [delta["content"] for delta in deltas if delta.get("content")]


@pytest.mark.parametrize("flags", [(), HARDENED], ids=["as it comes", "hardened"])
def test_a_stream_through_the_container(start: Start, flags: tuple[str, ...]) -> None:
    """A healthy container answers token by token, hardened or not, without any setting."""
    container = start(*flags)
    arrivals = []
    events = []
    for event in stream(container, tokens=30, rate=20):
        arrivals.append(time.monotonic())
        events.append(event)
    assert len(content(events)) == 30
    # 50 ms lie between two tokens; whoever buffers delivers them in heaps.
    apart = [later - earlier > 0.01 for earlier, later in itertools.pairwise(arrivals)]
    assert sum(apart) > 20


def test_the_admin_port_speaks_of_the_stream(hardened: Container) -> None:
    """What went through the public port is counted on the admin port, and only there."""
    list(stream(hardened, tokens=5, rate=0))
    metrics = httpx.get(hardened.url(9464) + "/metrics").text
    assert "gen_ai_server_time_to_first_token_seconds_count" in metrics
    assert httpx.get(hardened.url(8080) + "/metrics").status_code == 404


def test_nothing_runs_as_root_and_only_tmp_is_written(hardened: Container) -> None:
    """Every process has uid 10001, and all that was written since the start lies in /tmp."""
    users = docker("top", hardened.name, "-eo", "uid,pid").splitlines()[1:]
    assert {row.split()[0] for row in users} == {"10001"}
    assert docker("diff", hardened.name) == ""
    assert hardened.run("touch /opt/sluice/x /run/x 2>/dev/null; echo $?") == "1"


def test_sigterm_lets_a_stream_finish(hardened: Container) -> None:
    """SIGTERM in mid-stream: every token still comes, then the container exits with 0."""
    events = stream(hardened, tokens=100, rate=50)
    seen = [next(events) for _ in range(10)]
    docker("kill", "--signal", "TERM", hardened.name)
    seen += events
    assert len(content(seen)) == 100
    assert docker("wait", hardened.name) == "0"
    assert hardened.state()["OOMKilled"] is False


def test_no_stream_begins_during_the_drain(hardened: Container) -> None:
    """While the last stream ends, a new request is refused at once instead of left hanging."""
    events = stream(hardened, tokens=150, rate=50)
    next(events)
    docker("kill", "--signal", "TERM", hardened.name)

    def turned_away() -> bool:
        try:
            return httpx.get(hardened.url(8080) + "/readyz", timeout=2).status_code == 503
        except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
            return True

    wait_until(turned_away, "new requests are refused", seconds=2)
    assert len(content(list(events))) > 0
    assert docker("wait", hardened.name) == "0"


def workers(container: Container) -> set[int]:
    """The worker processes, by their ids inside the container."""
    listed = container.run(
        "for p in /proc/[0-9]*; do echo ${p#/proc/} $(tr '\\0' ' ' <$p/cmdline); done 2>/dev/null"
    )
    rows = [row.split(None, 1) for row in listed.splitlines()]
    return {int(row[0]) for row in rows if len(row) == 2 and is_worker(row[1])}


def is_worker(command: str) -> bool:
    """Whether a command line is a Python worker's, not nginx's nor the listing's own."""
    return " worker" in command and not command.startswith(("nginx", "bash"))


def test_a_killed_worker_comes_back(hardened: Container) -> None:
    """Killed outright, a worker is replaced, and both serve again; the container stays up."""
    before = workers(hardened)
    assert len(before) == 2
    victim = before.pop()
    hardened.run(f"kill -KILL {victim}")
    # The other one serves meanwhile.
    assert len(content(list(stream(hardened, tokens=5, rate=0)))) == 5

    def back() -> bool:
        now = workers(hardened)
        return len(now) == 2 and victim not in now

    wait_until(back, "a new worker")
    wait_until(lambda: httpx.get(hardened.url(9464) + "/readyz").status_code == 200, "ready again")
    for _ in range(4):
        assert len(content(list(stream(hardened, tokens=5, rate=0)))) == 5
    assert hardened.state()["Status"] == "running"


def test_a_bad_setting_stops_the_start() -> None:
    """A value that cannot be is named on the way out, and the exit status says so."""
    done = subprocess.run(
        ["docker", "run", "--rm", "-e", "SLUICE_WORKERS=many", IMAGE],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode not in {0, 137}
    assert "SLUICE_WORKERS" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_no_build_tool_is_left_in_the_image() -> None:
    """Neither a compiler nor pip nor a package index is there for an intruder to use."""
    tools = "gcc cc clang make pip pip3 uv"
    paths = docker("run", "--rm", "--entrypoint", "bash", IMAGE, "-c", f"command -v {tools}; true")
    assert paths == ""
    import_pip = "import importlib.util as u; print(u.find_spec('pip'), u.find_spec('ensurepip'))"
    assert docker("run", "--rm", "--entrypoint", "python", IMAGE, "-c", import_pip) == "None None"


def test_the_image_says_what_it_is() -> None:
    """User, ports, stop signal, health check and OCI labels are in the image's own settings."""
    config = json.loads(docker("image", "inspect", "-f", "{{json .Config}}", IMAGE))
    assert config["User"] == "10001:10001"
    assert set(config["ExposedPorts"]) == {"8080/tcp", "8443/tcp", "9464/tcp"}
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"] == ["CMD", "/opt/sluice/bin/healthcheck"]
    labels = {
        name.removeprefix("org.opencontainers.image."): v for name, v in config["Labels"].items()
    }
    assert labels["title"] == "Sluice"
    assert labels["version"] not in {"", "dev"}
    assert labels["revision"]


def test_the_image_has_its_bill_of_materials() -> None:
    """CycloneDX, with each package that Python and Debian have in it, under its true version."""
    listing = (
        "cat /opt/sluice/sbom.json; dpkg-query -W -f 'deb ${Package} ${Version}\\n'; python -c '"
        "import importlib.metadata as m\n"
        'for one in m.distributions(): print("pypi", one.name, one.version)\''
    )
    shown = docker("run", "--rm", "--entrypoint", "bash", IMAGE, "-c", listing)
    bom, end = json.JSONDecoder().raw_decode(shown)
    installed = {tuple(line.split()) for line in shown[end:].splitlines() if line}
    assert bom["bomFormat"] == "CycloneDX"
    root = bom["metadata"]["component"]
    assert ("pypi", "sluice", root["version"]) in installed
    kinds = {"pkg:deb/debian/": "deb", "pkg:pypi/": "pypi"}
    listed = {
        (kind, component["name"], component["version"])
        for component in bom["components"]
        for start, kind in kinds.items()
        if component.get("purl", "").startswith(start)
    }
    assert installed - {("pypi", "sluice", root["version"])} == listed
    names = {name for _, name, _ in listed}
    assert {"nginx", "valkey-server", "python3", "openssl", "aiohttp", "redis"} <= names


def test_it_is_healthy_however_its_admin_port_is_set(start: Start, tmp_path: Path) -> None:
    """In the file of its settings, and with a token, which a health check does not have."""
    file = tmp_path / "sluice.toml"
    file.write_text('admin_port = 9465\nadmin_token = "t0ken"\n')
    file.chmod(0o644)
    start("-v", f"{file}:/etc/sluice.toml:ro", "-e", "SLUICE_CONFIG=/etc/sluice.toml")


def test_the_readme_s_budgeted_key(tmp_path: Path) -> None:
    """Its file and its `docker run` line as they stand: the key is known, and it is counted."""
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    toml = readme.partition("```toml\n")[2].partition("```")[0]
    line = readme.partition("\ndocker run ")[2].partition("```")[0].replace("\\\n", "")
    made = docker("run", "--rm", IMAGE, "keys", "new", "team-web")
    key = re.findall(r"sk-sluice-\S+", made)[0]
    digest = re.findall(r'sha256 = "(\w{64})"', made)[0]
    toml = toml.replace('api_key = "…"', 'api_key = "sk-operator"')
    file = tmp_path / "sluice.toml"
    file.write_text(toml.replace('sha256 = "…"', f'sha256 = "{digest}"'))
    file.chmod(0o644)
    line = line.replace("$PWD", str(tmp_path)).replace("-p 8080:8080", "-p 127.0.0.1::8080")
    line = line.replace("127.0.0.1:9464:9464", "127.0.0.1::9464").replace("sluice:dev", IMAGE)
    container = Container.start(*shlex.split(line))
    try:
        wait_until(lambda: is_healthy(container), "healthy", seconds=HEALTHY_SECONDS)
        models = container.url(8080) + "/v1/models"
        assert httpx.get(models, headers={"Authorization": "Bearer wrong"}).status_code == 401
        known = httpx.get(models, headers={"Authorization": f"Bearer {key}"}, timeout=60)
        assert known.status_code in {502, 504}
        assert known.headers["x-ratelimit-limit-requests"] == "600"
    finally:
        container.remove()
