"""The refusals of keys, as SDKs see them."""

from __future__ import annotations

from proxy.errors import document_of, headers_of
from proxy.limit_errors import BudgetSpent, LimitsUnavailable, TokensLimited
from proxy.record import Family


def test_in_openais_words() -> None:
    """The type says of what there is too little, the code what kind of refusal it is."""
    error = document_of(TokensLimited("Too much."), Family.CHAT, "id")["error"]
    assert isinstance(error, dict)
    assert (error["type"], error["code"]) == ("tokens", "rate_limit_exceeded")


def test_a_spent_budget_is_not_to_be_tried_again() -> None:
    """Both SDKs do as the header says."""
    assert headers_of(BudgetSpent("Spent.", retry_after=9)) == {
        "Retry-After": "9",
        "x-should-retry": "false",
    }


def test_no_store_is_no_limit() -> None:
    """503, with a time to come back."""
    assert LimitsUnavailable.fault.status == 503
    assert headers_of(LimitsUnavailable("Away.")) == {"Retry-After": "1"}
