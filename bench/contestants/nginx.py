"""Bare nginx: the unit in which all others are counted."""

from __future__ import annotations

import resource

from bench.contestants.contestant import Contestant, Launch, Place
from bench.contestants.finding import program, program_version

_CONFIGURATION = """\
user root;
daemon off;
worker_processes {cores};
worker_rlimit_nofile {descriptors};
pid {directory}/nginx.pid;
error_log {directory}/error.log error;
events {{ worker_connections {descriptors}; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000;
    tcp_nodelay on;
    upstream paced {{
        server {upstream};
        keepalive 512;
        keepalive_requests 1000000;
    }}
    server {{
        listen 127.0.0.1:{port} backlog=16384{reuseport};
        location / {{
            proxy_pass http://paced;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 1h;
        }}
    }}
}}
"""


def _launch(place: Place) -> Launch:
    text = _CONFIGURATION.format(
        cores=place.cores,
        descriptors=resource.getrlimit(resource.RLIMIT_NOFILE)[1],
        directory=place.directory,
        upstream=place.upstream,
        port=place.port,
        # Spreads the connections evenly, so that no worker alone runs out of descriptors.
        reuseport=" reuseport" if place.cores > 1 else "",
    )
    path = place.write("nginx.conf", text)
    return Launch([program("nginx"), "-c", path, "-e", str(place.directory / "error.log")])


NGINX = Contestant(
    name="nginx",
    title="bare nginx",
    configuration="`proxy_pass` with `proxy_buffering off`, HTTP/1.1 and keepalive to the upstream,"
    " no access log, one worker process per core given.",
    find=lambda: program_version("nginx"),
    launch=_launch,
    own=True,
)
