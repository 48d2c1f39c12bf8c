"""Whose key reaches the upstream, and who may come in at all."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.conftest import StartWorker
from tests.integration.raw import Fields, exchange, post_json, request
from tests.integration.test_requests_pass import arrived
from tests.upstream.peer import Peer, plain, serves

CLIENTS = "sk-of-the-client"
OWN = "sk-of-the-gateway"
BEARER = [("Authorization", f"Bearer {CLIENTS}")]
CREDENTIALS = ("authorization", "x-api-key", "x-goog-api-key", "api-key")


async def keys_seen(start_front: StartWorker, path: str, fields: Fields, **settings: Any) -> Any:
    """The credentials with which a request arrives at the upstream, and the target it asks."""
    async with Peer(serves(plain())) as peer:
        front = await start_front(upstream_url=peer.url, **settings)
        answer = await exchange(front.url, post_json(path, {"model": "m"}, fields))
        assert answer.status == 200, answer.body
        (head,) = peer.heads
    target, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    seen = {name.lower(): value for name, _, value in pairs if name.lower() in CREDENTIALS}
    return seen, target.split(" ")[1]


@pytest.mark.parametrize(
    "field",
    [
        ("Authorization", f"Bearer {CLIENTS}"),
        ("Authorization", "Basic dXNlcjpwYXNz"),
        ("x-api-key", CLIENTS),
        ("x-goog-api-key", CLIENTS),
        ("api-key", CLIENTS),
    ],
)
async def test_the_clients_key_is_passed_on(
    start_front: StartWorker, field: tuple[str, str]
) -> None:
    """Without a key of its own Sluice is no party to it."""
    seen, target = await keys_seen(start_front, "/v1/responses?key=abc", [field])
    assert seen == {field[0].lower(): field[1]}
    assert target == "/v1/responses?key=abc"


@pytest.mark.parametrize(
    ("path", "more", "wanted"),
    [
        ("/v1/chat/completions", [], {"authorization": f"Bearer {OWN}"}),
        ("/v1/models", [], {"authorization": f"Bearer {OWN}"}),
        ("/v1/messages", [], {"x-api-key": OWN}),
        ("/v1/models", [("anthropic-version", "2023-06-01")], {"x-api-key": OWN}),
        ("/v1beta/models/m:generateContent", [], {"x-goog-api-key": OWN}),
        ("/v1beta/openai/chat/completions", [], {"authorization": f"Bearer {OWN}"}),
    ],
)
async def test_the_gateways_key_takes_the_place_of_any_other(
    start_front: StartWorker, path: str, more: Fields, wanted: dict[str, str]
) -> None:
    """In the header that the upstream's family wants; the client's never leaves, wherever it is."""
    everywhere = [*BEARER, *((name, CLIENTS) for name in CREDENTIALS[1:])]
    query = f"?a=1&key={CLIENTS}&%6Bey={CLIENTS}&b=2"
    seen, target = await keys_seen(
        start_front, path + query, everywhere + more, upstream_api_key=OWN
    )
    assert seen == wanted
    assert target == path + "?a=1&b=2"


async def test_a_key_of_the_gateways_own_clients_never_leaves(start_front: StartWorker) -> None:
    """It opens Sluice, not the upstream, even where the upstream wants none."""
    seen, target = await keys_seen(
        start_front, f"/v1/responses?key={CLIENTS}", BEARER, client_keys={"shop": CLIENTS}
    )
    assert seen == {}
    assert target == "/v1/responses"


@pytest.mark.parametrize(
    "fields",
    [
        BEARER,
        [("authorization", f"bearer  {CLIENTS}")],
        [("x-api-key", CLIENTS)],
        [("x-goog-api-key", CLIENTS)],
        [("api-key", CLIENTS)],
    ],
)
async def test_a_known_key_is_let_in(start_front: StartWorker, fields: Fields) -> None:
    """Wherever its SDK puts it."""
    front = await start_front(client_keys={"shop": CLIENTS}, upstream_api_key=OWN)
    answer = await exchange(front.url, request("GET", "/v1/echo", fields=fields))
    assert answer.status == 200
    assert arrived(answer.json())["Authorization"] == f"Bearer {OWN}"


@pytest.mark.parametrize("fields", [[], [("Authorization", "Bearer sk-unknown")]])
@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/v1/chat/completions", {"type": "invalid_request_error", "code": "invalid_api_key"}),
        ("/v1/anything/else", {"type": "invalid_request_error", "code": "invalid_api_key"}),
        ("/v1/messages", {"type": "authentication_error", "code": "invalid_api_key"}),
    ],
)
async def test_a_stranger_is_refused_in_the_words_of_the_family(
    start_front: StartWorker, fields: Fields, path: str, wanted: dict[str, str]
) -> None:
    """401 with the SDK's own error type; the upstream hears nothing, the answer shows no key."""
    async with Peer(serves(plain())) as peer:
        front = await start_front(client_keys={"shop": CLIENTS}, upstream_url=peer.url)
        answer = await exchange(front.url, post_json(path, {"model": "m"}, fields))
        assert peer.accepted == 0
    assert answer.status == 401
    error = answer.json()["error"]
    assert {name: error[name] for name in wanted} == wanted
    assert answer.headers["X-Request-ID"] in error["message"]
    assert b"sk-of" not in answer.body


async def test_the_gateways_own_pages_need_no_key(start_front: StartWorker) -> None:
    """Probes come without one."""
    front = await start_front(client_keys={"shop": CLIENTS})
    for path in ("/healthz", "/readyz"):
        assert (await exchange(front.url, request("GET", path))).status == 200
