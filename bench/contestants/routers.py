"""The Rust routers of the vLLM and SGLang projects: cousins with the same command line."""

from __future__ import annotations

from bench.contestants.contestant import Contestant, Launch, Place, Source
from bench.contestants.finding import venv_program, venv_version

_ARGUMENTS = (
    "--host=127.0.0.1",
    "--policy=round_robin",
    "--max-concurrent-requests=20000",
    "--request-timeout-secs=3600",
    "--prometheus-host=127.0.0.1",
)


def _arguments(place: Place) -> list[str]:
    return [
        *_ARGUMENTS,
        f"--port={place.port}",
        f"--prometheus-port={place.second_port}",
        f"--worker-urls=http://{place.upstream}",
    ]


def _vllm(place: Place) -> Launch:
    return Launch([venv_program("vllm-router", "vllm-router"), *_arguments(place)])


def _sglang(place: Place) -> Launch:
    python = venv_program("sglang-router", "python")
    return Launch([python, "-m", "sglang_router.launch_router", *_arguments(place)])


_SKIPS = {"ten-thousand": "one process may not open two descriptors for each of 10,000 streams"}

VLLM_ROUTER = Contestant(
    name="vllm-router",
    title="vLLM router",
    configuration="One worker URL, `round_robin`, its Prometheus exporter on, limits opened wide.",
    find=lambda: venv_version("vllm-router", "vllm-router"),
    launch=_vllm,
    source=Source("pip", ("vllm-router",)),
    skips=_SKIPS,
)

SGLANG_ROUTER = Contestant(
    name="sglang-router",
    title="SGLang router",
    configuration="One worker URL, `round_robin`, its Prometheus exporter on, limits opened wide.",
    find=lambda: venv_version("sglang-router", "sglang-router"),
    launch=_sglang,
    source=Source("pip", ("sglang-router",)),
    skips=_SKIPS,
)
