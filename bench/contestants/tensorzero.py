"""TensorZero."""

from __future__ import annotations

from bench.contestants.contestant import BENCH, Contestant, Launch, Place, Source
from bench.contestants.finding import venv_program, venv_version

_CONFIGURATION = """\
[gateway]
observability.enabled = false
disable_pseudonymous_usage_analytics = true
[models.bench]
routing = ["bench"]
[models.bench.providers.bench]
type = "openai"
model_name = "bench"
api_base = "http://{upstream}/v1/"
api_key_location = "none"
"""


def _launch(place: Place) -> Launch:
    configuration = place.write("tensorzero.toml", _CONFIGURATION.format(upstream=place.upstream))
    port_file = place.directory / "port"
    script = BENCH / "contestants" / "tensorzero_gateway.py"
    return Launch(
        [venv_program("tensorzero", "python"), "-P", str(script), configuration, str(port_file)],
        {"TOKIO_WORKER_THREADS": str(place.cores), "RUST_LOG": "error"},
        path="/openai/v1/chat/completions",
        model="tensorzero::model_name::bench",
        port_file=port_file,
    )


TENSORZERO = Contestant(
    name="tensorzero",
    title="TensorZero",
    configuration="The gateway that its PyPI package carries, one model, observability off (no"
    " database), its OpenAI-compatible route.",
    find=lambda: venv_version("tensorzero", "tensorzero"),
    launch=_launch,
    source=Source("pip", ("tensorzero",)),
    skips={"ten-thousand": "one process may not open two descriptors for each of 10,000 streams"},
)
