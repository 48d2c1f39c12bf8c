from __future__ import annotations

from bench.load.answers import Ending
from bench.load.ledger import Ledger


def test_tokens_around_a_window() -> None:
    """What arrived in it counts for CPU time; delays are those of the tokens due in it."""
    ledger = Ledger()
    for received, sent, due in (
        (5_000, 1_000, 0),
        (30_000, 20_000, 15_000),
        (99_000, 40_000, 19_000),
    ):
        ledger.token(received, sent, due)
    figures = ledger.figures(4_000, 50_000)
    assert (figures["received"], figures["due"]) == (2, 2)
    assert figures["delay_us"]["p50"] == 10
    assert figures["delay_us"]["largest"] == 59
    assert figures["late_us"]["largest"] == 80
    assert figures["upstream_late_us"]["largest"] == 21


def test_streams_that_ended_in_different_ways() -> None:
    """Each way is counted, a refusal with its status."""
    ledger = Ledger()
    for ending in (Ending.COMPLETE, Ending.COMPLETE, Ending.CUT):
        ledger.ended(ending, 200)
    ledger.ended(Ending.REFUSED, 503)
    assert ledger.figures(0, 1)["endings"] == {"complete": 2, "cut": 1, "refused 503": 1}
