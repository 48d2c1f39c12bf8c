"""No gateway at all: what the apparatus itself adds."""

from __future__ import annotations

from bench.contestants.contestant import Contestant

DIRECT = Contestant(
    name="direct",
    title="no gateway",
    configuration="The load generator calls the paced upstream itself: the floor of the apparatus.",
    find=lambda: "",
    launch=lambda _: None,
    skips={
        "tokens-10": "no process to account for",
        "memory": "no process to account for",
        "ten-thousand": "no process to account for",
        "cold-start": "nothing to start",
    },
    own=True,
)
