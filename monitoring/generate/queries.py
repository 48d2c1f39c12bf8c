"""PromQL, put together from its parts: the same rates and quantiles for every instrument."""

from __future__ import annotations

FIRST_TOKEN = "gen_ai_server_time_to_first_token_seconds"
PER_TOKEN = "gen_ai_server_time_per_output_token_seconds"
DURATION = "gen_ai_server_request_duration_seconds"
USAGE = "gen_ai_client_token_usage"
TOKEN_TYPE = "gen_ai_token_type"

# Each kind of instrument has labels of its own; the variables fill whichever there are.
HERE = 'instance=~"$instance"'
UPSTREAM = f'{HERE}, upstream=~"$upstream"'
MODEL = f'{UPSTREAM}, model=~"$model"'
EVENTS = f'{HERE}, model=~"$model"'
ACCOUNT = f'{UPSTREAM}, key=~"$key"'
GEN_AI = f'{HERE}, gen_ai_request_model=~"$model"'
FAILURES = f'{HERE}, error_type!=""'

BROKEN = "upstream_cut|error_event|.*_timeout|drained|failed"
"""How a request that had its 200 can have failed all the same."""


def per_second(metric: str, labels: str, by: str = "") -> str:
    """How fast a counter grows, in sum or by some labels."""
    return f"sum{_by(by)}(rate({metric}{{{labels}}}[$__rate_interval]))"


def quantile(share: float, metric: str, labels: str, by: str = "") -> str:
    """A quantile of a histogram, as precise as its buckets."""
    kept = f"le, {by}" if by else "le"
    rates = f"sum by ({kept}) (rate({metric}_bucket{{{labels}}}[$__rate_interval]))"
    return f"histogram_quantile({share}, {rates})"


def in_time_shown(metric: str, labels: str, by: str) -> str:
    """How much a counter has grown over all that is shown."""
    return f"sum{_by(by)}(increase({metric}{{{labels}}}[$__range])) > 0"


def buckets(metric: str, labels: str) -> str:
    """A histogram's buckets over time, for a heatmap."""
    return f"sum by (le) (increase({metric}_bucket{{{labels}}}[$__rate_interval]))"


def failed_share(labels: str) -> str:
    """The part of all requests that failed: a 5xx, or an answer that broke after its 200."""
    rate = "rate(sluice_requests_total{{{}}}[$__rate_interval])"
    errors = rate.format(f'{labels}, status=~"5.."')
    broken = rate.format(f'{labels}, status!~"5..", ended_by=~"{BROKEN}"')
    all_of_them = rate.format(labels)
    return f"(sum({errors} or {broken}) or 0 * sum({all_of_them})) / sum({all_of_them})"


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
