"""All contestants, in the order in which the table shows them."""

from __future__ import annotations

from bench.contestants.contestant import Contestant
from bench.contestants.direct import DIRECT
from bench.contestants.envoy import ENVOY
from bench.contestants.haproxy import HAPROXY
from bench.contestants.litellm import LITELLM
from bench.contestants.naive import NAIVE
from bench.contestants.nginx import NGINX
from bench.contestants.portkey import PORTKEY
from bench.contestants.routers import SGLANG_ROUTER, VLLM_ROUTER
from bench.contestants.sluice import APPLIANCE, WORKER
from bench.contestants.tensorzero import TENSORZERO
from bench.contestants.traefik import TRAEFIK

EVERYBODY: tuple[Contestant, ...] = (
    DIRECT,
    NGINX,
    APPLIANCE,
    WORKER,
    NAIVE,
    HAPROXY,
    VLLM_ROUTER,
    SGLANG_ROUTER,
    ENVOY,
    TRAEFIK,
    TENSORZERO,
    PORTKEY,
    LITELLM,
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
