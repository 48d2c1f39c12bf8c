from __future__ import annotations

import json

from proxy.appliance.admin_server import refusal


def test_a_refusal_has_the_shape_of_all_others() -> None:
    """An `error` with its message for people and its code for programs."""
    made = refusal(401, "unauthorized", "Say who you are.")
    assert made.status == 401
    assert isinstance(made.text, str)
    assert json.loads(made.text) == {
        "error": {"message": "Say who you are.", "code": "unauthorized"}
    }
