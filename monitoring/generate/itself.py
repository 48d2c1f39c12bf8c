"""Sluice's own health: what it adds, and what it needs."""

from __future__ import annotations

from monitoring.generate.panels import Panel, Query, lines, states, table
from monitoring.generate.queries import HERE, per_second, quantile


def panels() -> list[Panel]:
    """Overhead, event loops, CPU, processes."""
    overhead = "sluice_overhead_seconds"
    return [
        lines(
            "Time that Sluice adds",
            "Before it calls the upstream (the wait for a slot apart), and from the upstream's "
            "first byte to its own.",
            Query(quantile(0.5, overhead, HERE, "phase"), "{{phase}} p50"),
            Query(quantile(0.99, overhead, HERE, "phase"), "{{phase}} p99"),
            unit="s",
        ),
        lines(
            "Event-loop lag",
            "How late the slowest worker's loop ran a timer, at worst.",
            Query(f"sluice_event_loop_lag_seconds{{{HERE}}}", "{{instance}}"),
            unit="s",
        ),
        lines(
            "CPU of all workers",
            "In cores; nginx is not counted.",
            Query(per_second("sluice_worker_cpu_seconds_total", HERE, "instance"), "{{instance}}"),
        ),
        lines(
            "CPU per token",
            "Worker CPU time for each event with tokens.",
            Query(
                f"{per_second('sluice_worker_cpu_seconds_total', HERE)}"
                f" / {per_second('sluice_token_events_total', HERE)}",
                "CPU",
            ),
            unit="s",
        ),
        states(
            "Processes",
            "Whether each answers its supervisor.",
            Query(f"sluice_process_up{{{HERE}}}", "{{instance}} {{process}}"),
            ("silent", "answers"),
        ),
        states(
            "Draining",
            "From the signal to stop on.",
            Query(f"1 - sluice_draining{{{HERE}}}", "{{instance}}"),
            ("draining", "serving"),
        ),
        lines(
            "Given up after repeated kills",
            "Workers or slots that Sluice does without since the kernel kept killing.",
            Query(f"sum by (instance) (sluice_reductions_total{{{HERE}}})", "{{instance}}"),
        ),
        lines(
            "Days left of the certificate",
            "Of the one that nginx serves.",
            Query(
                f"(sluice_tls_certificate_expiry_timestamp_seconds{{{HERE}}} - time()) / 86400",
                "{{instance}}",
            ),
        ),
        table(
            "What runs",
            "The versions of Sluice, of Python and of nginx.",
            Query(f"count by (instance, version, python, nginx) (sluice_build_info{{{HERE}}})"),
            "short",
        ),
        lines(
            "Restarts",
            "In the last quarter of an hour.",
            Query(
                f"increase(sluice_process_restarts_total{{{HERE}}}[15m])",
                "{{instance}} {{process}}",
            ),
        ),
    ]
