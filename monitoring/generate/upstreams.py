"""How the upstreams fare."""

from __future__ import annotations

from monitoring.generate.panels import Panel, Query, lines, states
from monitoring.generate.queries import ACCOUNT, HERE, UPSTREAM, per_second

_BROKEN = 'upstream!="", ended_by!~"complete|client_left"'


def panels() -> list[Panel]:
    """Health, ejections, retries, shares, connections."""
    return [
        states(
            "Upstreams in and out",
            "Out as soon as one worker has taken it out.",
            Query(f"min by (upstream) (sluice_upstream_healthy{{{UPSTREAM}}})", "{{upstream}}"),
            ("out", "in"),
        ),
        lines(
            "Ejections",
            "Times an upstream was taken out, per minute; each worker counts its own.",
            Query(
                f"60 * {per_second('sluice_upstream_ejections_total', UPSTREAM, 'upstream')}",
                "{{upstream}}",
            ),
        ),
        lines(
            "Retries",
            "Further attempts per second, by the fault that made them needed.",
            Query(
                per_second("sluice_upstream_retries_total", UPSTREAM, "upstream, reason"),
                "{{upstream}}: {{reason}}",
            ),
            unit="reqps",
        ),
        lines(
            "Requests by upstream",
            "The upstream that answered, per second; where none was asked, it is not here.",
            Query(
                per_second("sluice_requests_total", f'{ACCOUNT}, upstream!=""', "upstream"),
                "{{upstream}}",
            ),
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Broken by upstream",
            "Requests per second that did not end as they should there, and how.",
            Query(
                per_second("sluice_requests_total", f"{ACCOUNT}, {_BROKEN}", "upstream, ended_by"),
                "{{upstream}}: {{ended_by}}",
            ),
            unit="reqps",
        ),
        lines(
            "Connections to upstreams",
            "In use and kept for the next request.",
            Query(f"sum by (state) (sluice_upstream_connections{{{HERE}}})", "{{state}}"),
            stacked=True,
        ),
    ]
