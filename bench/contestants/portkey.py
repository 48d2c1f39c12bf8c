"""Portkey's gateway."""

from __future__ import annotations

from bench.contestants.contestant import Contestant, Launch, Place, Source
from bench.contestants.finding import node_package, node_version, program

_PACKAGE = "@portkey-ai/gateway"

# Newer ones hand out responses whose headers this gateway cannot change: each stream is a 500
# (Portkey-AI/gateway issue 1389).
_PINNED = {"@hono/node-server": "1.13.8"}


def _launch(place: Place) -> Launch:
    script = node_package("portkey", _PACKAGE) / "build" / "start-server.js"
    return Launch(
        [program("node"), str(script), f"--port={place.port}", "--headless"],
        {"NODE_ENV": "production", "TRUSTED_CUSTOM_HOSTS": "127.0.0.1,localhost"},
        headers={
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://{place.upstream}/v1",
        },
    )


PORTKEY = Contestant(
    name="portkey",
    title="Portkey",
    configuration="`start-server.js --headless` in one Node process, provider and upstream given by"
    " request headers, no plugins, no cache.",
    find=lambda: node_version("portkey", _PACKAGE),
    launch=_launch,
    source=Source("npm", (_PACKAGE,), _PINNED),
    skips={
        "ten-thousand": "one process may not open two descriptors for each of 10,000 streams",
    },
)
