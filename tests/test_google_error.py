from __future__ import annotations

import pytest

from proxy.google_error import google_error


@pytest.mark.parametrize(
    ("status", "word"), [(400, "INVALID_ARGUMENT"), (429, "RESOURCE_EXHAUSTED"), (502, "INTERNAL")]
)
def test_a_status_has_google_s_word(status: int, word: str) -> None:
    """The number and the word of google.rpc, and Sluice's code as the reason."""
    error = google_error(status, "some_code", "No.", "r-1")
    assert (error["code"], error["status"], error["message"]) == (status, word, "No.")
    details = error["details"]
    assert isinstance(details, list)
    assert details[0]["reason"] == "SOME_CODE"
    assert details[0]["metadata"] == {"request_id": "r-1"}
