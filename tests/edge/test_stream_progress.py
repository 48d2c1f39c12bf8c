"""What readers of a stream are told of its progress: honest, and never backwards."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from proxy.edge.stream_progress import LengthHistory, StreamProgress
from proxy.meter.tally import Tally
from proxy.record import Family, RequestRecord


def a_record() -> RequestRecord:
    record = RequestRecord("id", "POST", "/v1/chat/completions", Family.CHAT, 0.0)
    record.model = "m"
    return record


@dataclass
class Request:
    """A request as the figures see it."""

    record: RequestRecord = field(default_factory=a_record)
    tally: Tally = field(default_factory=Tally)
    max_output: int = 0
    place: int = 0

    def queue_position(self) -> int:
        return self.place


def saw(request: Request, tokens: int) -> None:
    """So many tokens came, one each tenth of a second."""
    for number in range(tokens):
        request.tally.count(1, number / 10)


def test_who_waits_is_told_the_place() -> None:
    """Until the upstream is called."""
    request = Request(place=3)
    figures = StreamProgress(request, LengthHistory())
    assert figures.progress()["place"] == 3
    request.record.called_at = request.record.connected_at = 1.0
    assert figures.progress()["stage"] == "waiting"
    assert "place" not in figures.progress()


def test_without_anything_to_go_by_there_is_no_percentage() -> None:
    """A guess would be a lie."""
    request = Request()
    request.record.called_at = request.record.connected_at = 0.0
    saw(request, 5)
    assert "percent" not in StreamProgress(request, LengthHistory()).progress()


def test_a_percentage_of_what_was_asked_for() -> None:
    """With what is left, at the pace so far; 100 only at the end."""
    request = Request(max_output=20)
    request.record.called_at = request.record.connected_at = 0.0
    figures = StreamProgress(request, LengthHistory())
    saw(request, 5)
    progress = figures.progress()
    assert progress["percent"] == 25
    assert progress["left_seconds"] == pytest.approx(1.5)
    saw(request, 40)
    assert 95 < figures.progress()["percent"] < 100


def test_it_never_runs_backwards() -> None:
    """Also when the answer is found to be longer than it seemed."""
    request = Request(max_output=10)
    request.record.called_at = request.record.connected_at = 0.0
    figures = StreamProgress(request, LengthHistory())
    saw(request, 8)
    first = figures.progress()["percent"]
    request.max_output = 100
    assert figures.progress()["percent"] == first
