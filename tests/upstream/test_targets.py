"""The upstreams as configured."""

from __future__ import annotations

import pytest

from proxy.settings import Settings
from proxy.upstream.targets import Target, targets_of
from proxy.upstream.upstream_url import BaseUrl


def several(*upstreams: dict[str, object], **settings: object) -> Settings:
    """Settings with several upstreams, each with a name and a URL."""
    named = [
        {"name": f"u{n}", "url": "https://h/v1", **settings} for n, settings in enumerate(upstreams)
    ]
    return Settings.model_validate({"upstreams": named, **settings})


def test_one_url_is_one_upstream() -> None:
    """SLUICE_UPSTREAM_URL and its key, with the common clocks."""
    settings = Settings.model_validate(
        {
            "upstream_url": "https://h:8443/openai/v1/",
            "upstream_api_key": "own",
            "connect_timeout_seconds": 3,
            "first_token_timeout_seconds": 4,
        }
    )
    [target] = targets_of(settings)
    assert target == Target(
        "default",
        BaseUrl("https://h:8443", "/openai/v1"),
        "own",
        connect_timeout=3,
        first_token_timeout=4,
    )
    assert "own" not in repr(target)


def test_an_upstream_may_have_clocks_of_its_own() -> None:
    """What it does not say is common; 0 switches off."""
    settings = several(
        {"connect_timeout_seconds": 1, "first_token_timeout_seconds": 0},
        {},
        connect_timeout_seconds=5,
        first_token_timeout_seconds=6,
    )
    clocks = [
        (target.connect_timeout, target.first_token_timeout) for target in targets_of(settings)
    ]
    assert clocks == [(1, 0), (5, 6)]


def test_everything_an_upstream_says_is_taken_over() -> None:
    """Key, weight, tier, names and probe."""
    given = {
        "api_key": "own",
        "weight": 2,
        "priority": 3,
        "rename": {"a": "b"},
        "probe_path": "/health",
    }
    [target] = targets_of(several(given, client_keys={"x": "k"}))
    assert (target.api_key, target.weight, target.priority) == ("own", 2, 3)
    assert (target.rename, target.probe_path, target.forgets_client) == (
        {"a": "b"},
        "/health",
        True,
    )


@pytest.mark.parametrize(
    ("globs", "model", "served"),
    [
        (["*"], "anything", True),
        (["gpt-*"], "gpt-4o", True),
        (["gpt-*"], "my-gpt-4o", False),
        (["gpt-*"], "GPT-4o", False),
        (["a", "b"], "b", True),
        (["a", "b"], "ab", False),
        (["org/*"], "org/m", True),
        (["m?"], "m1", True),
        (["m[12]"], "m3", False),
        ([], "m", False),
        (["gpt-*"], "", True),
        (["gpt-*"], "renamed", True),
        (["a.c"], "abc", False),
    ],
)
def test_globs_say_which_models_are_served(globs: list[str], model: str, served: bool) -> None:
    """As a shell reads them, case and all; a model that is renamed here is served here."""
    [target] = targets_of(several({"models": globs, "rename": {"renamed": "x"}}))
    assert target.serves(model) is served


@pytest.mark.parametrize(
    ("total", "workers", "shares"),
    [(None, 2, [None, None]), (4, 2, [2, 2]), (5, 3, [2, 2, 1]), (1, 3, [1, 1, 1])],
)
def test_the_shares_of_the_workers_add_up(
    total: int | None, workers: int, shares: list[int | None]
) -> None:
    """To the upstream's limit, except that no worker is left without any."""
    settings = several({"max_streams": total})
    targets = [targets_of(settings, workers=workers, index=index) for index in range(workers)]
    assert [target.max_streams for [target] in targets] == shares
