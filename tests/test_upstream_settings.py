from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.upstream_settings import UpstreamSettings


def test_a_name_and_an_address_are_enough() -> None:
    """Everything else has a default: all models, one share, no limit of its own."""
    upstream = UpstreamSettings.model_validate({"name": "a", "url": "http://a"})
    assert (upstream.models, upstream.weight, upstream.priority, upstream.max_streams) == (
        ("*",),
        1.0,
        0,
        None,
    )


@pytest.mark.parametrize(
    "more",
    [
        {"name": "no spaces"},
        {"weight": 0},
        {"probe_path": "up"},
        {"max_streams": 0},
        {"ca": "a.pem"},
    ],
)
def test_what_cannot_work_is_refused(more: dict[str, object]) -> None:
    """Before anything is sent there."""
    with pytest.raises(ValidationError):
        UpstreamSettings.model_validate({"name": "a", "url": "http://a", **more})
