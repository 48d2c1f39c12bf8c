from __future__ import annotations

import json

from bench.load.target import Target
from bench.upstream.requests import RequestReader


def test_a_contestant_with_wishes() -> None:
    """Its own model, path and headers win over the common ones."""
    target = Target("127.0.0.1", 1, "/openai/chat", "own", {"Authorization": "Bearer mine"})
    (request,) = RequestReader().feed(target.request("paced-1-1-0", stream=True))
    body = json.loads(request.body)
    assert (request.target, body["model"], body["stream"]) == ("/openai/chat", "own", True)
    assert request.headers["authorization"] == "Bearer mine"


def test_a_contestant_without_wishes() -> None:
    """The model says the pace."""
    (request,) = RequestReader().feed(Target("h", 1).request("paced-1-1-0", stream=False))
    assert json.loads(request.body)["model"] == "paced-1-1-0"
