"""Settings that a supervisor hands to its workers in memory."""

from __future__ import annotations

import os

from pydantic import SecretStr

from proxy import shared_settings
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings

OWN = UpstreamSettings(name="a", url="http://127.0.0.1:9/v1", api_key=SecretStr("sk-1"))


def test_what_is_written_is_read_again_secrets_too() -> None:
    """The latest, whether it is longer or shorter than the one before."""
    descriptor = os.memfd_create("test")
    try:
        for generation, upstreams in enumerate([(), (OWN,), ()]):
            settings = Settings(upstreams=upstreams)
            shared_settings.write(descriptor, generation, settings)
            assert shared_settings.read(descriptor) == (generation, settings)
    finally:
        os.close(descriptor)


def test_only_what_may_change_is_taken_over() -> None:
    """And what else has changed is named."""
    before, after = Settings(retries=1), Settings(retries=2, upstreams=(OWN,))
    merged = shared_settings.merged(before, after)
    assert (merged.retries, merged.upstreams) == (1, (OWN,))
    assert shared_settings.frozen_changes(before, after) == ["SLUICE_RETRIES"]
