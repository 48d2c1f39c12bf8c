from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from proxy.setting_types import Address, BaseUrl, Origin


@pytest.mark.parametrize(
    ("kind", "given", "kept"),
    [
        (Address, "[::1]", "::1"),
        (Origin, "HTTPS://App.Example", "https://app.example"),
        (BaseUrl, "https://a.example/v1", "https://a.example/v1"),
    ],
)
def test_a_value_is_kept_in_one_form(kind: Any, given: str, kept: str) -> None:
    """However it was written."""
    assert str(TypeAdapter(kind).validate_python(given)) == kept


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (Address, "example.com"),
        (Origin, "https://app.example/path"),
        (BaseUrl, "https://user:password@a.example"),
        (BaseUrl, "https://a.example/?key=1"),
    ],
)
def test_what_would_surprise_later_is_refused(kind: Any, given: str) -> None:
    """A name that may be several addresses, an origin with a path, a secret in an address."""
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(given)
