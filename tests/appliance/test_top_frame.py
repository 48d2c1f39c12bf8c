from __future__ import annotations

import re
from typing import Any

import pytest

from proxy.appliance.top_frame import RED, drawn, frame
from proxy.appliance.top_rates import Change, Scrape

UP = {"states": {"up": 2}, "streams": 3, "failures_in_a_row": 0}
CALM = UP | {"back_in_seconds": 0.0, "benched_for_seconds": 0.0}
WORKER = {"index": 0, "pid": 12, "state": "ready", "restarts": 0, "streams": 3, "waiting": 0}
STATUS: dict[str, Any] = {
    "state": "ready",
    "uptime_seconds": 90_061.0,
    "upstreams": {"east": CALM},
    "workers": [WORKER],
    "nginx": {"version": "1.26.3"},
    "demo": None,
}
METRICS = """
sluice_streams_in_flight 24
sluice_requests_waiting 2
sluice_slots 32
sluice_event_loop_lag_seconds 0.004
sluice_requests_total{status="200",ended_by="complete",key="k",upstream="east"} 20
sluice_requests_total{status="200",ended_by="upstream_cut",key="k",upstream="east"} 5
sluice_token_events_total{channel="text"} 3000
sluice_bytes_total{direction="out"} 3000000
sluice_cost_usd_total{key="k"} 0.001
sluice_model_requests_total{model="m",ended_by="complete"} 20
FIRST{gen_ai_request_model="m",le="2"} 9
FIRST{gen_ai_request_model="m",le="+Inf"} 9
BYTE{upstream="east",le="2"} 9
BYTE{upstream="east",le="+Inf"} 9
PACE{gen_ai_request_model="m",le="0.02"} 9
PACE{gen_ai_request_model="m",le="+Inf"} 9
"""
for short, name in {
    "FIRST": "gen_ai_server_time_to_first_token_seconds_bucket",
    "BYTE": "sluice_time_to_first_byte_seconds_bucket",
    "PACE": "gen_ai_server_time_per_output_token_seconds_bucket",
}.items():
    METRICS = METRICS.replace(short, name)
CHANGE = Change(Scrape.read("", 0.0), Scrape.read(METRICS, 10.0))
QUIET = Change(Scrape.read("", 0.0), Scrape.read("", 10.0))


def text(status: dict[str, Any] = STATUS, change: Change = CHANGE, note: str = "") -> str:
    """The frame as a pipe would get it."""
    return "\n".join(drawn(frame(status, change, url="http://here:9464", note=note)))


def test_a_frame_says_how_the_gateway_fares() -> None:
    """State, streams, rates, times, outcomes, upstreams, workers, models."""
    shown = text()
    assert "http://here:9464  ready  up 1 d 1 h  nginx 1.26.3" in shown
    assert "24 in flight  2 waiting  of 32 slots  [##################      ] 75%" in shown
    assert (
        "2.5 requests/s  20.0% failed  0.0% shed  300 tokens/s  300 kB/s out  $0.36/hour" in shown
    )
    assert re.search(r"first token +1\.0 s +1\.9 s", shown)
    assert "ended by  complete 2.0/s  upstream_cut 0.5/s" in shown
    assert (
        "east                    up                 3     2.5            1.0 s     1.9 s" in shown
    )
    assert re.search(r"^m +2\.0 +1\.0 s +1\.9 s +100$", shown, re.MULTILINE)
    assert "0 (pid 12)              ready              3       0         0" in shown
    assert "loop lag 4.0 ms" in shown


def test_a_gateway_without_work_shows_no_invented_figures() -> None:
    """A dash where nothing was observed."""
    shown = text(change=QUIET)
    assert "0 in flight  0 waiting  of 0 slots" in shown
    assert "0.0 requests/s  - failed  - shed" in shown
    assert "no requests ended" in shown
    assert re.search(r"first token +- +-", shown)


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [
        ({"states": {"out": 2}, "back_in_seconds": 7.6}, "out                3     2.5"),
        ({"states": {"out": 1, "up": 1}}, "1 out, 1 up"),
        ({"states": {"out": 2}, "back_in_seconds": 7.6}, "back in 8 s"),
        ({"benched_for_seconds": 30.0}, "asked for 30 s of rest"),
        ({"failures_in_a_row": 2}, "2 failed in a row"),
    ],
)
def test_an_upstream_in_trouble_says_which(trouble: dict[str, Any], expected: str) -> None:
    """Ejected, half open, cooling down, or about to be."""
    assert expected in text(STATUS | {"upstreams": {"east": CALM | trouble}})


def test_a_worker_that_does_not_answer_is_still_listed() -> None:
    """Its monitor knows it, even if it says nothing of itself."""
    dead = {"index": 1, "pid": None, "state": "waiting", "restarts": 4}
    assert "1                       waiting            -       -         4" in text(
        STATUS | {"workers": [WORKER, dead]}
    )


def test_a_note_stands_where_it_is_seen() -> None:
    """What is shown is old: that comes before it."""
    assert text(note="Nothing answers.").splitlines()[1] == "Nothing answers."


@pytest.mark.parametrize("width", [1, 20, 80, 200])
@pytest.mark.parametrize("height", [1, 5, 60])
def test_a_frame_fits_the_window(width: int, height: int) -> None:
    """Lines are cut, never wrapped, and color counts for nothing."""
    lines = frame(STATUS, CHANGE, url="http://here:9464")
    plain = drawn(lines, width, height)
    assert len(plain) <= height
    assert max(map(len, plain)) <= width
    assert len(drawn(lines, width, height, color=True)) == len(plain)


def test_color_ends_with_its_word() -> None:
    """A cut word does not color the rest of the screen."""
    assert drawn([[("broken", RED), (" fine", "")]], 3, 1, color=True) == ["\x1b[31mbro\x1b[0m"]
