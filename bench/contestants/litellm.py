"""LiteLLM's proxy."""

from __future__ import annotations

import secrets

from bench.contestants.contestant import Contestant, Launch, Place, Source
from bench.contestants.finding import venv_program, venv_version

_CONFIGURATION = """\
model_list:
  - model_name: "*"
    litellm_params:
      model: "openai/*"
      api_base: "http://{upstream}/v1"
      api_key: bench
litellm_settings:
  callbacks: ["prometheus"]
  num_retries: 0
  request_timeout: 3600
  telemetry: false
general_settings:
  disable_spend_logs: true
  master_key: "{key}"
"""


def _launch(place: Place) -> Launch:
    key = f"sk-{secrets.token_hex(24)}"  # without a key that is hard to guess it does not start
    text = _CONFIGURATION.format(upstream=place.upstream, key=key)
    configuration = place.write("litellm.yaml", text)
    return Launch(
        [
            venv_program("litellm", "litellm"),
            "--config",
            configuration,
            "--host=127.0.0.1",
            f"--port={place.port}",
            f"--num_workers={place.cores}",
        ],
        {
            "LITELLM_MODE": "PRODUCTION",
            "LITELLM_LOG": "ERROR",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "DISABLE_ADMIN_UI": "True",
            "PATH": f"{venv_program('litellm', 'python').rpartition('/')[0]}:/usr/bin:/bin",
        },
        headers={"Authorization": f"Bearer {key}"},
    )


_TOO_SLOW = "one core is full at about 25 streams of 50 tokens/s"

LITELLM = Contestant(
    name="litellm",
    title="LiteLLM",
    configuration="`litellm[proxy]`, production mode, error log only, Prometheus callback on, no"
    " database, a master key, one uvicorn worker per core given.",
    find=lambda: venv_version("litellm", "litellm"),
    launch=_launch,
    source=Source("pip", ("litellm[proxy]", "prometheus-client")),
    skips={
        "tokens-200": _TOO_SLOW,
        "ten-thousand": _TOO_SLOW,
    },
    ready_seconds=120.0,
    open_streams=500,
)
