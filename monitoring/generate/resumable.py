"""Resumable streams: how many there are, who reads them, and what was lost."""

from __future__ import annotations

from monitoring.generate.panels import Panel, Query, lines
from monitoring.generate.queries import HERE, per_second


def panels() -> list[Panel]:
    """Streams and readers, reads by the way they came, and lost logs."""
    return [
        lines(
            "Resumable streams and their readers",
            "Streams that are being relayed with a log, and readers of logs.",
            Query(f"sum by(instance) (sluice_resumable_streams{{{HERE}}})", "{{instance}} streams"),
            Query(f"sum by(instance) (sluice_resumable_readers{{{HERE}}})", "{{instance}} readers"),
        ),
        lines(
            "Reads of logs",
            "Readers let in per second, by the way they came.",
            Query(per_second("sluice_resumed_reads_total", HERE, "route"), "{{route}}"),
            unit="reqps",
        ),
        lines(
            "Lost logs",
            "Streams that became ordinary ones per second, since the store was away or full.",
            Query(per_second("sluice_resumable_streams_lost_total", HERE, "reason"), "{{reason}}"),
            unit="reqps",
        ),
    ]
