from __future__ import annotations

import hmac

import pytest

from proxy.appliance.admin_guard import has_token, refusal

NAMES = frozenset({"sluice", "sluice.example"})


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "127.0.0.1:9464"},
        {"Host": "10.1.2.3"},
        {"Host": "[::1]:9464"},
        {"Host": "localhost:9464"},
        {"Host": "Sluice:9464"},
        {"Host": "sluice.example."},
        {"Host": "localhost:9464", "Origin": "http://localhost:9464"},
        {"Host": "localhost:9464", "Sec-Fetch-Site": "same-origin"},
        {"Host": "localhost:9464", "Sec-Fetch-Site": "none"},
    ],
    ids=str,
)
def test_addresses_and_known_names_are_answered(headers: dict[str, str]) -> None:
    """Prometheus, probes, curl, a person's browser, and HTTP/1.0 without a Host."""
    assert refusal(headers, NAMES) is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example"},
        {"Host": "127.0.0.1.rebound.example:9464"},
        {"Host": "localhost.rebound.example"},
        {"Host": "[::1"},
        {"Host": "user@127.0.0.1.example"},
        {"Host": "localhost:9464", "Origin": "https://evil.example"},
        {"Host": "localhost:9464", "Origin": "http://localhost:3000"},
        {"Host": "localhost:9464", "Origin": "null"},
        {"Host": "localhost:9464", "Sec-Fetch-Site": "cross-site"},
        {"Host": "localhost:9464", "Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_pages_of_others_are_refused(headers: dict[str, str]) -> None:
    """Under a name that was made to lead here, or from another origin."""
    assert refusal(headers, NAMES) is not None


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("Bearer t0ken", True),
        ("bearer  t0ken ", True),
        ("Basic YW55OnQwa2Vu", True),
        ("Basic OnQwa2Vu", True),
        ("Basic dDBrZW4=", False),
        ("Basic t0ken", False),
        ("Basic /////w==", False),
        ("Bearer", False),
        ("Bearer t0ke", False),
        ("Bearer t0ken2", False),
        ("Digest t0ken", False),
        ("t0ken", False),
        ("", False),
    ],
)
def test_the_token_is_shown_in_two_ways(given: str, shown: bool) -> None:
    """As a Bearer token, or as the password of any user; what is malformed shows nothing."""
    assert has_token({"Authorization": given} if given else {}, "t0ken") is shown


def test_a_comparison_takes_as_long_whatever_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests are compared, in constant time: neither a right beginning nor a length shows."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return first == second

    monkeypatch.setattr(hmac, "compare_digest", compare)
    for token in ("", "t", "t0ken", "t0ken2", "x" * 4000, "\u00e9"):
        assert has_token({"Authorization": f"Bearer {token}"}, "t0ken") is (token == "t0ken")
    assert {(len(first), len(second)) for first, second in compared} == {(32, 32)}
    assert len(compared) == 6
