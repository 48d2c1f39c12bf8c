"""The settings of resumable streams."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from proxy.resume_settings import ResumeSettings
from proxy.settings import Settings


def test_they_are_settings_like_any_other() -> None:
    """Under the same prefix, and all of them with a description for the table."""
    assert issubclass(Settings, ResumeSettings)
    assert all(field.description for field in ResumeSettings.model_fields.values())


def test_streams_are_kept_for_who_asks() -> None:
    """An upgrade that changes nothing for anybody else."""
    assert ResumeSettings().resumable == "request"


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("resume_stream_bytes", 4096),
        ("resume_total_bytes", 4096),
        ("resume_readers", 1),
        ("resume_readers_per_stream", 1),
    ],
)
def test_a_bound_can_hold_something(name: str, least: int) -> None:
    """The least value is one that works; one below is refused by its name."""
    fit: Any = {name: least}
    unfit: Any = {name: least - 1}
    assert getattr(ResumeSettings(**fit), name) == least
    with pytest.raises(ValidationError, match=name):
        ResumeSettings(**unfit)


@pytest.mark.parametrize(
    ("name", "value"), [("resumable", "maybe"), ("resume_ttl_seconds", 0), ("resume_ttl", 5)]
)
def test_what_means_nothing_is_refused(name: str, value: object) -> None:
    """A word, a time and a name that are none."""
    unfit: Any = {name: value}
    with pytest.raises(ValidationError, match=name):
        ResumeSettings(**unfit)
