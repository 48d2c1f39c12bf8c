"""haproxy."""

from __future__ import annotations

import resource

from bench.contestants.contestant import Contestant, Launch, Place, Source
from bench.contestants.finding import program, program_version

_CONFIGURATION = """\
global
    nbthread {cores}
    maxconn {connections}
defaults
    mode http
    maxconn {connections}
    backlog 16384
    option http-no-delay
    option http-keep-alive
    http-reuse always
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-request 10s
frontend public
    bind 127.0.0.1:{port}
    default_backend paced
backend paced
    server paced {upstream} pool-max-conn 4096
"""


def _launch(place: Place) -> Launch:
    # Two descriptors per connection, and some for itself; it refuses to start with more.
    connections = (resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200) // 2
    text = _CONFIGURATION.format(
        cores=place.cores, port=place.port, upstream=place.upstream, connections=connections
    )
    return Launch([program("haproxy"), "-db", "-f", place.write("haproxy.cfg", text)])


HAPROXY = Contestant(
    name="haproxy",
    title="haproxy",
    configuration="`option http-no-delay` (without it events wait for one another), `http-reuse"
    " always`, one thread per core given, no log.",
    find=lambda: program_version("haproxy"),
    launch=_launch,
    source=Source("apt", ("haproxy",)),
    skips={"ten-thousand": "one process may not open two descriptors for each of 10,000 streams"},
)
