"""Paths and what they mean."""

from __future__ import annotations

import pytest

from proxy.edge.routes import OTHER, Route, is_passed, route_of
from proxy.record import Family


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/chat/completions", Route("/v1/chat/completions", Family.CHAT)),
        ("/v1/responses", Route("/v1/responses", Family.RESPONSES)),
        ("/v1/completions", Route("/v1/completions", Family.COMPLETIONS)),
        ("/v1/messages", Route("/v1/messages", Family.MESSAGES)),
        (
            "/v1beta/models/gemini-2%2E5:streamGenerateContent",
            Route("/v1beta/models/:streamGenerateContent", Family.GEMINI, "gemini-2.5", True),
        ),
        (
            "/v1beta/models/g:generateContent",
            Route("/v1beta/models/:generateContent", Family.GEMINI, "g"),
        ),
        ("/v1beta/models/g:invented", Route("/v1beta/models")),
        ("/v1/messages/count_tokens", Route("/v1/messages")),
        ("/v1/responses/resp_1", Route("/v1/responses")),
        ("/v1/embeddings", Route("/v1/embeddings")),
        ("/v1/audio/speech", Route("/v1/audio")),
        ("/v1/models/gpt-4", Route("/v1/models")),
        ("/v1/modelsx", Route(OTHER)),
        ("/v1/invented/by/a/client", Route(OTHER)),
    ],
)
def test_the_route_of_a_path(path: str, route: Route) -> None:
    """The family where it is known, and a label from a small set whatever the client invents."""
    assert route_of(path) == route


@pytest.mark.parametrize(
    "path",
    [
        "/v1/chat/completion%73",
        "/v1/chat%2Fcompletions",
        "/v1//chat/completions",
        "/v1/chat/completions/",
        "/v1/chat/completions%20",
        "/v1/Chat/Completions",
        "/v1/chat/completions;a=b",
        "/openai/v1/chat/Completions/",
    ],
)
def test_no_spelling_is_a_way_past_the_meters(path: str) -> None:
    """Some upstream would serve each as chat completions."""
    assert route_of(path) == Route("/v1/chat/completions", Family.CHAT)


def test_googles_methods_in_other_spellings() -> None:
    """A model whose name has a slash, and an empty segment; verbs are not in other letters."""
    label = "/v1beta/models/:generateContent"
    assert route_of("/v1beta//models/a%2Fb:generateContent") == Route(label, Family.GEMINI, "a/b")
    assert route_of("/v1beta/models/g:generatecontent") == Route("/v1beta/models")


def test_a_prefix_is_known_as_it_is_written() -> None:
    """Encoded it would lie elsewhere at an upstream."""
    assert is_passed("/v1/x", ())
    assert is_passed("/v2/chat", ("/v2",))
    for path in ("/v2/chat", "/%761/x", "/v1", "/v1x/y", "/v1%2Fx", "//v1/x"):
        assert not is_passed(path, ())


@pytest.mark.parametrize(
    ("path", "label", "family"),
    [
        ("/openai/v1/chat/completions", "/v1/chat/completions", Family.CHAT),
        ("/openai/deployments/gpt/chat/completions", "/v1/chat/completions", Family.CHAT),
        ("/openai/deployments/gpt/completions", "/v1/completions", Family.COMPLETIONS),
        ("/openai/v1/responses", "/v1/responses", Family.RESPONSES),
        ("/anthropic/v1/messages", "/v1/messages", Family.MESSAGES),
        (
            "/v1beta1/projects/p/publishers/google/models/m:streamGenerateContent",
            "/v1beta/models/:streamGenerateContent",
            Family.GEMINI,
        ),
        ("/v1alpha/models/m:generateContent", "/v1beta/models/:generateContent", Family.GEMINI),
        ("/openai/v1/threads/t/messages", "other", Family.UNKNOWN),
        ("/v2/chat", "other", Family.UNKNOWN),
        ("/v1/threads/t/messages", "other", Family.UNKNOWN),
        ("/openai/v1/responses/r_1", "other", Family.UNKNOWN),
    ],
)
def test_a_path_under_another_prefix(path: str, label: str, family: Family) -> None:
    """Is known by its end, and its label is one of those that there are."""
    route = route_of(path)
    assert (route.label, route.family) == (label, family)
